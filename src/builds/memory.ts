import { readdirSync, readFileSync } from 'node:fs';

const everyMs = 1_000;

/**
 * Calls `end` once when a process and its descendants together hold more than `limit` bytes. Not an rlimit: that
 * counts addresses, of which a JavaScript engine reserves far more than it uses. Returns how to stop watching.
 */
export function watchMemory(pid: number, limit: number, end: (reason: string) => void): () => void {
  if (process.platform !== 'linux') return () => undefined;
  const timer = setInterval(() => {
    if (memoryOf(pid) <= limit) return;
    clearInterval(timer);
    end(`it used more than ${Math.round(limit / 2 ** 20)} MiB of memory`);
  }, everyMs);
  return () => clearInterval(timer);
}

interface Seen {
  readonly parent: number;
  readonly group: number;
}

/** Bytes of private and shared anonymous memory. What left the tree is still found by its process group. */
function memoryOf(pid: number): number {
  const seen = new Map<number, Seen>();
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    const [, parent, group] = afterName(read(`/proc/${name}/stat`));
    if (parent !== undefined) seen.set(Number(name), { parent: Number(parent), group: Number(group) });
  }
  let bytes = 0;
  for (const [process, { group }] of seen) {
    if (group === pid || descends(seen, process, pid)) bytes += held(process);
  }
  return bytes;
}

function descends(seen: ReadonlyMap<number, Seen>, process: number, ancestor: number): boolean {
  for (let at: number | undefined = process; at !== undefined && at > 1; at = seen.get(at)?.parent) {
    if (at === ancestor) return true;
  }
  return false;
}

function held(pid: number): number {
  const status = read(`/proc/${pid}/status`);
  let kilobytes = 0;
  for (const [, number] of status.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$/gm)) {
    kilobytes += Number(number);
  }
  return kilobytes * 1024;
}

/** A program's name may hold spaces and brackets: fields are counted from the last one. */
function afterName(stat: string): readonly string[] {
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}
