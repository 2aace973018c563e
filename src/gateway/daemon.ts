import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isUnshipError, messageOf } from '../domain/errors.ts';
import { chooseSocket, type DaemonArguments, exitStatus } from './client.ts';
import { listenForControl } from './control.ts';
import { Gateway } from './gateway.ts';
import { identityOf } from './process-identity.ts';
import { StateFile } from './state.ts';

process.umask(0o077);

const ownerPollMs = 500;

function report(text: string): void {
  process.stderr.write(`${new Date().toISOString()} ${text}\n`);
}

/**
 * One gateway a folder. The lock is the operating system's, taken through SQLite: it ends with the process,
 * however that ends, so there is no stale one to judge.
 */
function takeLock(folder: string): DatabaseSync | null {
  const lock = new DatabaseSync(join(folder, 'lock.db'), { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch {
    lock.close();
    return null;
  }
}

async function main(): Promise<void> {
  const { folder, listen, ownerPid } = JSON.parse(process.argv[2] ?? '{}') as DaemonArguments;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = takeLock(folder);
  if (lock === null) process.exit(exitStatus.alreadyRuns);
  const state = await StateFile.open(folder, report);
  let socket = chooseSocket(folder);
  const exit = (): void => {
    rmSync(socket, { force: true });
    // The reply to `shutdown` leaves first.
    setTimeout(() => process.exit(0), 20);
  };
  const gateway = new Gateway({ folder, state, exit, report });
  await gateway.open(listen);
  await state.update((current) => ({ ...current, socket }));
  const choosePath = (): string => {
    socket = chooseSocket(folder);
    return socket;
  };
  await listenForControl(choosePath, (request) => gateway.answer(request), report);
  report(`gateway ${process.pid} is ready${listen ? ` on ${listen.host}:${listen.port}` : ''}`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      gateway.close();
      exit();
    });
  }
  if (ownerPid !== undefined) endWith(ownerPid, gateway, exit);
  // Keeps the lock from being collected with its handle.
  process.on('exit', () => lock.close());
}

/** A rehearsal's gateway and its processes end when the process that rehearses has died. */
function endWith(ownerPid: number, gateway: Gateway, exit: () => void): void {
  const identity = identityOf(ownerPid);
  const timer = setInterval(() => {
    if (identity !== null && identityOf(ownerPid) === identity) return;
    clearInterval(timer);
    report('the owner has died: everything of its rehearsal is ended');
    void gateway.stopReleases().finally(exit);
  }, ownerPollMs);
}

process.on('SIGHUP', () => undefined);
// Requests of many people go through this process: a fault in the handling of one must not end the others.
process.on('uncaughtException', (error) => report(`uncaught: ${error.stack ?? messageOf(error)}`));

main().catch((error: unknown) => {
  report(`could not start: ${messageOf(error)}`);
  const taken = isUnshipError(error) && error.slug === 'port-taken';
  process.exit(taken ? exitStatus.portTaken : exitStatus.failed);
});
