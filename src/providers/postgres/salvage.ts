import { randomUUID } from 'node:crypto';
import { UnshipError } from '../../domain/errors.ts';
import { type Capture, dropSlot, endCapture, findCapture, requireReadable } from './capture.ts';
import type { ClientPrograms } from './client-programs.ts';
import { type Connection, connect, identifier } from './connection.ts';
import {
  endSessions,
  type Limits,
  notReached,
  reopen,
  requireNonePrepared,
  type Standing,
  swapNames,
  whereItStands,
  whileClosed,
} from './cutover.ts';
import {
  checkLedger,
  type LedgerCheck,
  notCovered,
  reportOn,
  type SalvageReport,
  writeMarker,
} from './data-at-risk.ts';
import { unfilled } from './replay/batch.ts';
import type { Orphans } from './replay/references.ts';
import { Replayer } from './replay/replayer.ts';
import type { Fills } from './replay/statements.ts';
import { dropHelperIndexes } from './replay/target.ts';
import { copySequences } from './sequences.ts';
import { maintenance, restoreBeside, salvageNames } from './side-database.ts';

export interface SalvageWish {
  readonly url: string;
  readonly capture: Capture;
  readonly programs: ClientPrograms;
  readonly maintenanceDatabase?: string;
  readonly fills: Fills;
  /** For transactions that are too large for memory. */
  readonly folder: string;
  readonly heldInMemory?: number;
  readonly jobs?: number;
  readonly signal: AbortSignal;
  readonly faults: { point(name: string): void };
  /** Writes that the restored database needs before it is live: a fence, a ledger of migrations. */
  readonly beforeSwitch?: (side: Connection) => Promise<void>;
}

export interface Switched {
  readonly standing: Standing;
  /** Database that holds the state from before. */
  readonly kept: string;
  /** How long the application was kept out, in ms; null when another process switched. */
  readonly blockedMs: number | null;
  readonly report: SalvageReport | null;
}

/** A round trip through the log that is as short as this means: it has caught up. */
const caughtUpMs = 250;

/**
 * Restores the capture beside the live database and carries over what was written since, until it has caught up. The
 * application notices nothing of it. Repeated after a kill, it goes on.
 */
export async function prepare(wish: SalvageWish): Promise<SalvageReport> {
  await using admin = await maintenance(wish);
  const names = salvageNames(wish.url, wish.capture.key);
  await requireNotSwitched(admin, wish);
  {
    await using live = await connect(wish.url, { purpose: 'salvage' });
    await requireReadable(live, wish.capture);
    await requireFills(live, wish);
  }
  await restoreBeside(wish);
  await using replayer = await openReplayer(wish, names.side);
  await catchUp(wish, replayer);
  const orphans = await settle(replayer);
  const ledger = await checkLedger(replayer.live, replayer.side, wish.capture.key, false);
  const uncovered = await notCovered(replayer.live, wish.capture, replayer.mappings.now);
  return await reportOn(replayer.side, replayer.totals, {
    orphans,
    ledger,
    notCovered: uncovered,
  });
}

async function openReplayer(wish: SalvageWish, sideDatabase: string): Promise<Replayer> {
  return await Replayer.open({ ...wish, sideDatabase });
}

async function requireNotSwitched(admin: Connection, { url, capture }: SalvageWish): Promise<void> {
  const names = salvageNames(url, capture.key);
  const standing = await whereItStands(admin, names);
  if (standing === 'closed') await reopen(admin, names.live);
  if (standing !== 'switched' && standing !== 'undone') return;
  throw new UnshipError('past-no-return', {
    happened: `the databases were switched already (${standing})`,
    done: 'nothing was changed',
  });
}

/** Found before anything is restored, and not at the first row. */
async function requireFills(live: Connection, { capture, fills }: SalvageWish): Promise<void> {
  const columns = await live.rows<{ oid: number; number: number }>(
    `SELECT attrelid AS oid, attnum AS number FROM pg_attribute
     WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped`,
    [capture.catalogue.tables.map(({ oid }) => oid)],
  );
  const there = new Set(columns.map(({ oid, number }) => `${oid}.${number}`));
  const tables = new Set(columns.map(({ oid }) => oid));
  for (const table of capture.catalogue.tables) {
    if (!tables.has(table.oid)) continue;
    for (const column of table.columns) {
      const name = `${table.schema}.${table.name}.${column.name}`;
      const isNeeded = column.isRequired && !column.hasDefault && !column.isGenerated;
      if (isNeeded && !there.has(`${table.oid}.${column.number}`) && fills[name] === undefined)
        throw unfilled(name);
    }
  }
}

/** Rounds through the log until one is short. Writers that are faster than this for ever are told. */
async function catchUp(wish: SalvageWish, replayer: Replayer): Promise<void> {
  for (;;) {
    const token = randomUUID();
    await writeMarker(replayer.live, wish.capture.key, token);
    const started = performance.now();
    while (!(await replayer.untilToken(token, 10_000))) {
      wish.signal.throwIfAborted();
      await requireReadable(replayer.live, wish.capture);
    }
    if (performance.now() - started < caughtUpMs) return;
  }
}

/** What rows refer to is put in order in one transaction. */
async function settle(replayer: Replayer): Promise<readonly Orphans[]> {
  const { live, side, references, mappings } = replayer;
  await mappings.refresh();
  await side.run('BEGIN');
  try {
    const orphans = await references.settle(live, side, mappings.now);
    await side.run('COMMIT');
    return orphans;
  } catch (error) {
    await side.run('ROLLBACK');
    throw error;
  }
}

/**
 * Makes the restored database the live one. The application is kept out from the moment the live database is closed
 * until the renames; every failure before them opens it again, and so does whoever goes on after a kill.
 */
export async function cutOver(wish: SalvageWish, limits: Limits): Promise<Switched> {
  const names = salvageNames(wish.url, wish.capture.key);
  await using admin = await maintenance(wish);
  const standing = await whereItStands(admin, names);
  if (standing === 'undone') await requireNotSwitched(admin, wish);
  if (standing === 'switched') {
    await finish(wish, admin);
    return { standing, kept: names.kept, blockedMs: null, report: null };
  }
  if (standing === 'closed') await reopen(admin, names.live);
  const done = await switchOver(wish, admin, limits);
  await finish(wish, admin);
  return { standing: 'switched', kept: names.kept, ...done };
}

async function switchOver(
  wish: SalvageWish,
  admin: Connection,
  limits: Limits,
): Promise<{ readonly blockedMs: number; readonly report: SalvageReport }> {
  const names = salvageNames(wish.url, wish.capture.key);
  await using replayer = await openReplayer(wish, names.side);
  await requireReadable(replayer.live, wish.capture);
  await catchUp(wish, replayer);
  await settle(replayer);
  // What takes long is done before anybody waits.
  await requireNonePrepared(admin, names.live);
  const uncovered = await notCovered(replayer.live, wish.capture, replayer.mappings.now);
  await catchUp(wish, replayer);
  wish.faults.point('postgres.cutover.before');
  const started = performance.now();
  const until = started + limits.blockedMs;
  return await whileClosed(admin, names.live, async () => {
    wish.faults.point('postgres.cutover.closed');
    await endSessions(admin, names.live, await replayer.backends(), until);
    await requireNonePrepared(admin, names.live);
    // No statement of ours keeps the application out for longer than it was promised.
    const left = Math.max(1, Math.round(until - performance.now()));
    for (const connection of [replayer.live, replayer.side])
      await connection.run(`SET statement_timeout = ${left}`);
    const { ledger, orphans } = await drain(wish, replayer, until);
    await copySequences(replayer.live, replayer.side, wish.capture.catalogue);
    await dropHelperIndexes(replayer.side);
    await wish.beforeSwitch?.(replayer.side);
    const seen = { orphans, ledger, notCovered: uncovered };
    const report = await reportOn(replayer.side, replayer.totals, seen);
    await replayer[Symbol.asyncDispose]();
    wish.faults.point('postgres.cutover.drained');
    await endSessions(admin, names.side, [], until);
    await swapNames(admin, { live: names.live, aside: names.kept, next: names.side }, until);
    const blockedMs = performance.now() - started;
    wish.faults.point('postgres.cutover.renamed');
    return { blockedMs, report };
  });
}

/** Everything that was acknowledged is carried over, and proven to be. */
async function drain(
  wish: SalvageWish,
  replayer: Replayer,
  until: number,
): Promise<{ readonly ledger: LedgerCheck; readonly orphans: readonly Orphans[] }> {
  const token = randomUUID();
  await writeMarker(replayer.live, wish.capture.key, token);
  if (!(await replayer.untilToken(token, until - performance.now())))
    throw notReached('the last writes could not be carried over in time');
  const orphans = await settle(replayer);
  const ledger = await checkLedger(replayer.live, replayer.side, wish.capture.key, true);
  if (ledger.found === ledger.markers) return { ledger, orphans };
  throw new UnshipError('capture-lost', {
    happened: `${ledger.markers - ledger.found} of ${ledger.markers} commits made as a check are not in the restored database`,
    done: 'nothing was switched; the live database was opened again',
  });
}

/** After the switch: slot, publication and identities of the database that was set aside. */
async function finish(wish: SalvageWish, admin: Connection): Promise<void> {
  const names = salvageNames(wish.url, wish.capture.key);
  await dropSlot(admin, wish.capture.slot);
  await endCapture({ ...wish, database: names.kept }, wish.capture.key);
  wish.faults.point('postgres.cutover.finished');
}

/**
 * Makes the database from before the switch the live one again. What was written since the switch is in the other
 * one, which is kept under a name of its own.
 */
export async function undo(wish: SalvageWish, limits: Limits): Promise<{ readonly kept: string }> {
  const names = salvageNames(wish.url, wish.capture.key);
  await using admin = await maintenance(wish);
  const standing = await whereItStands(admin, names);
  if (standing === 'undone') return { kept: names.undone };
  if (standing !== 'switched') {
    if (standing === 'closed') await reopen(admin, names.live);
    throw new UnshipError('already-there', { happened: 'nothing was switched', done: 'nothing was changed' });
  }
  await finish(wish, admin);
  const until = performance.now() + limits.blockedMs;
  await whileClosed(admin, names.live, async () => {
    await endSessions(admin, names.live, [], until);
    await requireNonePrepared(admin, names.live);
    await endSessions(admin, names.kept, [], until);
    wish.faults.point('postgres.undo.closed');
    await swapNames(admin, { live: names.live, aside: names.undone, next: names.kept }, until);
  });
  return { kept: names.undone };
}

/** The capture of this key, in the live database or in the one that was set aside. */
export async function captureOf(
  wish: Pick<SalvageWish, 'url' | 'maintenanceDatabase'>,
  key: string,
): Promise<Capture | null> {
  const names = salvageNames(wish.url, key);
  await using admin = await maintenance(wish);
  const there = await admin.rows<{ name: string; open: boolean }>(
    'SELECT datname AS name, datallowconn AS open FROM pg_database WHERE datname = ANY ($1)',
    [[names.live, names.kept]],
  );
  for (const { name, open } of there) {
    // It was closed by one who was killed.
    if (!open && name === names.live) await reopen(admin, name);
    await using database = await connect(wish.url, { purpose: 'looking for a capture', database: name });
    const capture = await findCapture(database, key);
    if (capture !== null) return capture;
  }
  return null;
}

/** Takes everything back that is not switched: the restored copy, and the capture. */
export async function abandon(wish: SalvageWish): Promise<void> {
  const names = salvageNames(wish.url, wish.capture.key);
  await using admin = await maintenance(wish);
  await requireNotSwitched(admin, wish);
  await admin.run(`DROP DATABASE IF EXISTS ${identifier(names.side)} WITH (FORCE)`);
  wish.faults.point('postgres.abandon.dropped');
  await endCapture(wish, wish.capture.key);
}
