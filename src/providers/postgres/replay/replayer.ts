import type { Capture } from '../capture.ts';
import { type Connection, connect } from '../connection.ts';
import { lsnOf } from '../lsn.ts';
import { markOf, messagePrefix } from '../marking.ts';
import { decode, type Message, type Relation, type Value } from '../pgoutput.ts';
import { SlotReader, sameTexts, type Transaction } from '../slot-reader.ts';
import { applySegments, type Outcome, requireFilled } from './batch.ts';
import type { Change, CommitOf, RowChange } from './changes.ts';
import { type Mapping, Mappings } from './mapping.ts';
import { Queue } from './queue.ts';
import {
  conflictStatement,
  count,
  type Progress,
  progressStatement,
  rewrittenStatement,
  type Totals,
} from './records.ts';
import { References } from './references.ts';
import type { Fills } from './statements.ts';
import { readTarget, type Target } from './target.ts';

export interface ReplayWish {
  readonly url: string;
  readonly capture: Capture;
  readonly sideDatabase: string;
  readonly fills: Fills;
  /** For transactions that are too large for memory. */
  readonly folder: string;
  readonly heldInMemory?: number;
  readonly signal: AbortSignal;
  readonly faults: { point(name: string): void };
}

/** Changes in one statement round. */
const flushAt = 2_000;
/** Transactions in one commit of ours. */
const transactionsAtOnce = 1_000;

/**
 * Settings of a session that writes what another database has checked already. Nested loops, as every row is found
 * by its key and there are few in a statement.
 */
const applySettings = `${sameTexts}; SET session_replication_role = replica; SET search_path = ''; SET row_security = off;
  SET standard_conforming_strings = on; SET check_function_bodies = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
  SET statement_timeout = 0; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = 0`;

/** Brings what is committed in the live database into the restored one, each transaction exactly once. */
export class Replayer implements AsyncDisposable {
  readonly side: Connection;
  readonly live: Connection;
  readonly target: Target;
  readonly references: References;
  readonly mappings: Mappings;
  readonly #wish: ReplayWish;
  readonly #reader: SlotReader;
  readonly #tokens = new Set<string>();
  readonly #relations = new Map<number, { relation: Relation; mapping: Mapping | undefined }>();
  #applied: bigint;
  #totals: Totals;

  private constructor(
    wish: ReplayWish,
    parts: {
      readonly side: Connection;
      readonly live: Connection;
      readonly target: Target;
      readonly reader: SlotReader;
    },
    progress: Progress & { readonly isResumed: boolean },
  ) {
    this.#wish = wish;
    this.side = parts.side;
    this.live = parts.live;
    this.target = parts.target;
    this.#reader = parts.reader;
    this.#applied = progress.applied;
    this.#totals = progress.totals;
    this.references = new References(parts.target, progress.isResumed);
    this.mappings = new Mappings(parts.live, wish.capture.key, wish.capture.catalogue, parts.target);
  }

  static async open(wish: ReplayWish): Promise<Replayer> {
    const { url, capture, sideDatabase, folder, heldInMemory, signal } = wish;
    await using opened = new AsyncDisposableStack();
    const side = opened.use(await connect(url, { purpose: 'replay', database: sideDatabase }));
    const live = opened.use(await connect(url, { purpose: 'replay source' }));
    await side.run(applySettings);
    await live.run(`${sameTexts}; SET search_path = ''`);
    const progress = await progressOf(side, capture.key);
    const target = await readTarget(side, capture.catalogue);
    const reader = opened.use(
      await SlotReader.open({
        ...{ url, slot: capture.slot, publication: capture.publication, from: progress.applied },
        ...{
          origin: capture.origin,
          mark: { prefix: messagePrefix, content: markOf(capture.key) },
          folder,
          signal,
        },
        ...(heldInMemory === undefined ? {} : { heldInMemory }),
      }),
    );
    const replayer = new Replayer(wish, { side, live, target, reader }, progress);
    await replayer.mappings.refresh();
    opened.move();
    return replayer;
  }

  get totals(): Totals {
    return this.#totals;
  }

  /** Backends of the server that are ours. */
  async backends(): Promise<readonly number[]> {
    const [live] = await this.live.rows<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return [live?.pid, this.#reader.backend].filter((pid) => pid !== undefined);
  }

  /** Applies what is there, waiting for the first of it `withinMs` at most. Returns how many transactions it was. */
  async step(withinMs: number): Promise<number> {
    const transactions = await this.#reader.take(transactionsAtOnce, withinMs);
    if (transactions.length === 0) return 0;
    const pass = new Pass(this.side, this.#wish, structuredClone(this.#totals));
    try {
      for (const transaction of transactions) await this.#add(pass, transaction);
      const last = transactions.at(-1);
      if (last !== undefined) await pass.commit(last.endLsn);
      this.#totals = pass.totals;
      this.#applied = last?.endLsn ?? this.#applied;
      this.#wish.faults.point('postgres.replay.committed');
      this.#reader.acknowledge(this.#applied);
    } catch (error) {
      await pass.abandon();
      throw error;
    } finally {
      for (const { frames } of transactions) await frames.discard();
    }
    for (const { tokens } of transactions) for (const token of tokens) this.#tokens.add(token);
    return transactions.length;
  }

  /**
   * Applies until a token that was sent into the log has come back: everything that was committed before it is here
   * then. False when the time ran out first.
   */
  async untilToken(token: string, withinMs: number): Promise<boolean> {
    const until = performance.now() + withinMs;
    while (!this.#tokens.delete(token)) {
      const left = until - performance.now();
      if (left <= 0) return false;
      await this.step(Math.min(left, 200));
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
    await this.side[Symbol.asyncDispose]();
    await this.live[Symbol.asyncDispose]();
  }

  async #add(pass: Pass, transaction: Transaction): Promise<void> {
    if (transaction.isMarked) pass.totals.migrationTransactions += 1;
    else pass.totals.transactions += 1;
    const commit = { xid: transaction.xid, endLsn: transaction.endLsn, at: transaction.at };
    for await (const portion of transaction.frames.portions()) {
      for (const frame of portion) {
        const message = decode(frame);
        if (message.kind === 'relation')
          this.#relations.set(message.id, { relation: message, mapping: undefined });
        else if (!transaction.isMarked) await this.#change(pass, message, transaction.commitLsn, commit);
      }
    }
  }

  async #mapping(relation: number, commitLsn: bigint): Promise<Mapping> {
    const known = this.#relations.get(relation);
    if (known === undefined) throw new Error(`the server did not describe table ${relation}`);
    known.mapping ??= await this.mappings.of(known.relation, commitLsn);
    return known.mapping;
  }

  async #change(pass: Pass, message: Message, commitLsn: bigint, commit: CommitOf): Promise<void> {
    if (message.kind === 'truncate') {
      for (const relation of message.relations) {
        const { target } = await this.#mapping(relation, commitLsn);
        if (target === null) continue;
        this.references.noteTruncated(target);
        await pass.add({ kind: 'truncate', table: target, commit });
      }
      return;
    }
    if (message.kind !== 'insert' && message.kind !== 'update' && message.kind !== 'delete') return;
    const mapping = await this.#mapping(message.relation, commitLsn);
    if (mapping.target === null) {
      if (mapping.source === 'unship.markers')
        await pass.marker(message.kind === 'insert' ? message.row : []);
      else count(pass.totals.newTables, mapping.source);
      return;
    }
    const old = message.kind === 'insert' ? undefined : message.old;
    const change: RowChange = {
      ...{ kind: message.kind, table: mapping.target, commit },
      key: mapping.key,
      old: placed(mapping, old?.values ?? (message.kind === 'update' ? keyOnly(mapping, message.row) : [])),
      row: message.kind === 'delete' ? [] : placed(mapping, message.row),
    };
    if (message.kind === 'update' && (old === undefined || old.onlyKey)) pass.totals.wholeRows += 1;
    if (message.kind !== 'delete') countNewColumns(mapping, message.row, old?.values, pass.totals);
    requireFilled(change, this.#wish.fills, pass.totals);
    this.references.note(change);
    await pass.add(change);
  }
}

async function progressOf(
  side: Connection,
  key: string,
): Promise<Progress & { readonly isResumed: boolean }> {
  const [row] = await side.rows<{ applied: string; totals: Totals }>(
    'SELECT applied, totals FROM unship.salvage WHERE key = $1',
    [key],
  );
  if (row === undefined) throw new Error(`the restored database knows no salvage ${key}`);
  return { applied: lsnOf(row.applied), totals: row.totals, isResumed: row.totals.transactions > 0 };
}

function placed(mapping: Mapping, values: readonly Value[]): readonly Value[] {
  const row: Value[] = new Array(mapping.target?.columns.length ?? 0).fill(undefined);
  for (const [at, place] of mapping.places.entries()) if (place >= 0) row[place] = values[at];
  return row;
}

/** Without an old row the key is unchanged: then the new one tells it. */
function keyOnly(mapping: Mapping, row: readonly Value[]): readonly Value[] {
  return row.map((value, at) => (mapping.key?.includes(mapping.places[at] ?? -1) ? value : undefined));
}

/** Values that only the migrated tables have room for. They stay in the database that is set aside. */
function countNewColumns(
  mapping: Mapping,
  row: readonly Value[],
  old: readonly Value[] | undefined,
  totals: Totals,
): void {
  for (const [at, place] of mapping.places.entries()) {
    const value = row[at];
    if (place >= 0 || value === undefined || value === null || value === old?.[at]) continue;
    count(totals.newColumns, `${mapping.source}.${mapping.columns[at]}`);
  }
}

/** One commit in the restored database, of one or more whole transactions of the live one. */
class Pass {
  readonly totals: Totals;
  readonly #side: Connection;
  readonly #wish: ReplayWish;
  readonly #queue = new Queue();
  readonly #outcome: Outcome = { conflicts: [], rewritten: [] };
  #inFlight: Promise<void> = Promise.resolve();
  #isOpen = false;

  constructor(side: Connection, wish: ReplayWish, totals: Totals) {
    this.#side = side;
    this.#wish = wish;
    this.totals = totals;
  }

  async add(change: Change): Promise<void> {
    this.totals.rows += 1;
    this.#queue.add(change);
    if (this.#queue.size >= flushAt) await this.#flush();
  }

  /** A commit of ours in the live database, that everybody can look for in this one. */
  async marker([key, number]: readonly Value[]): Promise<void> {
    if (typeof key !== 'string' || typeof number !== 'string') return;
    await this.#flush();
    await this.#inFlight;
    await this.#side.rows('INSERT INTO unship.markers (key, number) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
      key,
      number,
    ]);
  }

  /** While the server works on one portion the next one is made ready. */
  async #flush(): Promise<void> {
    await this.#inFlight;
    if (!this.#isOpen) await this.#side.run('BEGIN');
    this.#isOpen = true;
    const segments = this.#queue.take();
    this.#inFlight = applySegments(this.#side, segments, this.#wish.fills, this.#outcome, this.totals);
    // It is waited for before anything else is done.
    this.#inFlight.catch(() => {});
  }

  async commit(applied: bigint): Promise<void> {
    await this.#flush();
    await this.#inFlight;
    const { conflicts, rewritten } = this.#outcome;
    this.totals.conflicts += conflicts.length;
    this.totals.rewrittenEdits += rewritten.length;
    this.#wish.faults.point('postgres.replay.applied');
    await this.#side.run(
      [
        ...(conflicts.length > 0 ? [conflictStatement(conflicts)] : []),
        ...(rewritten.length > 0 ? [rewrittenStatement(rewritten)] : []),
        progressStatement(this.#wish.capture.key, { applied, totals: this.totals }),
        'COMMIT',
      ].join(';'),
    );
  }

  async abandon(): Promise<void> {
    await this.#inFlight.catch(() => {});
    if (this.#isOpen) await this.#side.run('ROLLBACK').catch(() => {});
  }
}
