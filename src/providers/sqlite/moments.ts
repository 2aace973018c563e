import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { backupsFolder } from './backup-record.ts';
import type { Core } from './core.ts';

/**
 * The time now, but later than every backup that is there. Which backup is the newest, and what came after it, is told
 * by these times: a clock that was set back must not make the newest backup the oldest. One that was ahead leaves its
 * mark until the true time has caught up: then the order is right and the hour is not.
 */
export function nextMoment({ runtime }: LookContext, core: Core): number {
  return Math.max(runtime.clock.now(), newestBackup(core) + 1);
}

function newestBackup(core: Core): number {
  const folder = backupsFolder(core);
  if (!existsSync(folder)) return 0;
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return Math.max(0, ...names.map((name) => takenAt(join(folder, name))));
}

function takenAt(file: string): number {
  try {
    const { takenAt: at } = JSON.parse(readFileSync(file, 'utf8')) as { readonly takenAt?: unknown };
    return Number.isSafeInteger(at) ? Number(at) : 0;
  } catch {
    // Whoever uses the backup is told that its record is damaged.
    return 0;
  }
}
