import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/**
 * What makes a process this one and not a later one with the same pid: the boot and its start time. Null when
 * it is dead (a zombie is dead). Cheap on Linux; elsewhere it asks `ps`.
 */
export function identityOf(pid: number): string | null {
  if (process.platform !== 'linux') return identityFromPs(pid);
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may itself hold spaces and parentheses: count from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return `${bootId()}:${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}

let boot: string | undefined;

function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return boot;
}

function identityFromPs(pid: number): string | null {
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return text === '' ? null : text;
  } catch {
    return null;
  }
}

/**
 * The leader of the process group that was given this variable, for the moment between a spawn and its record:
 * a gateway killed just there must find the process again, or two would run. Linux only; null elsewhere.
 */
export function findByVariable(name: string, value: string): number | null {
  if (process.platform !== 'linux') return null;
  const wanted = `${name}=${value}`;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').split('\0').includes(wanted)) continue;
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const group = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2];
      if (group === entry) return Number(entry);
    } catch {
      // Another user's process, or one that ended meanwhile.
    }
  }
  return null;
}
