import { sql, type Transaction } from 'kysely';
import type { Json } from '../domain/json.ts';
import type { Plan } from '../domain/plan.ts';
import type { History, QuarantinedCommit, Release, ReleaseId } from '../domain/release.ts';
import { releaseNumber } from '../domain/release.ts';
import { endedStatuses, type JournalEntry, type NewJournalEntry, type RunSummary } from '../domain/run.ts';
import type { Runtime } from '../domain/runtime.ts';
import { incidentBy, insertIncident, readIncident } from './incident-rows.ts';
import { corrupt, insertEntries, readChain, rootOf } from './journal-chain.ts';
import { type Keeping, masked, plainKeeping } from './keeping.ts';
import { assertFence, assertHeld, giveLease, leaseRow, mayTake, readLease } from './lease-row.ts';
import {
  putQuarantine,
  putRelease,
  readPlanningReleases,
  readQuarantine,
  readRelease,
} from './release-rows.ts';
import { insertRun, readPlan, readRun, selectRuns } from './run-rows.ts';
import type { Database, Tables } from './schema.ts';
import type {
  IncidentRecord,
  Lease,
  LeaseAnswer,
  LeaseRequest,
  NewRun,
  Signal,
  Store,
} from './store.port.ts';

/** State in any SQL database that Kysely speaks to. Every write is one transaction; writes by a run are fenced. */
export class SqlStore implements Store {
  readonly #db: Database;
  readonly #runtime: Runtime;
  readonly #keeping: Keeping;
  readonly #end: () => Promise<void>;

  /** `db` may be a transaction under way: then every write is a part of it. `end` closes what was opened for it. */
  constructor(
    db: Database,
    runtime: Runtime,
    keeping: Keeping = plainKeeping,
    end: () => Promise<void> = async () => {},
  ) {
    this.#db = db;
    this.#end = end;
    this.#runtime = runtime;
    this.#keeping = keeping;
  }

  #masked<T>(value: T): T {
    return masked(value, this.#keeping.mask);
  }

  /** One fenced write, between the two places where a fault may strike. */
  async #write<T>(
    name: string,
    fence: number | null,
    work: (db: Transaction<Tables>) => Promise<T>,
  ): Promise<T> {
    this.#runtime.faults.point(`store.${name}.before`);
    const fenced = async (db: Transaction<Tables>): Promise<T> => {
      if (fence !== null) await assertFence(db, fence);
      return await work(db);
    };
    const db = this.#db;
    const result = db.isTransaction
      ? await fenced(db as Transaction<Tables>)
      : await db.transaction().execute(fenced);
    this.#runtime.faults.point(`store.${name}.after`);
    return result;
  }

  async together<T>(name: string, work: (store: Store) => Promise<T>): Promise<T> {
    return await this.#write(name, null, (db) => work(new SqlStore(db, this.#runtime, this.#keeping)));
  }

  async history(): Promise<History> {
    const rows = await this.#db.selectFrom('releases').select('document').orderBy('number', 'desc').execute();
    return { releases: rows.map(readRelease), quarantine: await readQuarantine(this.#db) };
  }

  async recentReleases(limit: number): Promise<readonly Release[]> {
    const query = this.#db.selectFrom('releases').select('document').orderBy('number', 'desc').limit(limit);
    return (await query.execute()).map(readRelease);
  }

  async release(id: ReleaseId): Promise<Release | undefined> {
    const row = await this.#db
      .selectFrom('releases')
      .select('document')
      .where('number', '=', releaseNumber(id))
      .executeTakeFirst();
    return row === undefined ? undefined : readRelease(row);
  }

  async planningHistory(target?: ReleaseId): Promise<History> {
    const releases = await readPlanningReleases(this.#db, target);
    return { releases, quarantine: await readQuarantine(this.#db) };
  }

  async nextReleaseId(): Promise<ReleaseId> {
    const row = await this.#db
      .selectFrom('releases')
      .select(({ fn }) => fn.max('number').as('newest'))
      .executeTakeFirst();
    return `r${Number(row?.newest ?? 0) + 1}`;
  }

  async saveRelease(fence: number, release: Release): Promise<void> {
    await this.saveReleases(fence, [release]);
  }

  async saveReleases(fence: number, releases: readonly Release[]): Promise<void> {
    await this.#write('save-releases', fence, async (db) => {
      for (const release of releases) await putRelease(db, this.#masked(release));
    });
  }

  async quarantine(fence: number, entry: QuarantinedCommit): Promise<void> {
    await this.#write('quarantine', fence, async (db) => {
      await putQuarantine(db, { ...entry, reason: this.#keeping.mask(entry.reason) });
    });
  }

  async liftQuarantine(commit: string, fixedBy: string): Promise<boolean> {
    return await this.#write('lift-quarantine', null, async (db) => {
      const result = await db
        .updateTable('quarantine')
        .set({ fixed_by: fixedBy })
        .where('commit', '=', commit)
        .where('fixed_by', 'is', null)
        .executeTakeFirst();
      return Number(result.numUpdatedRows) > 0;
    });
  }

  async saveConfiguration(hash: string, text: Json): Promise<void> {
    if ((await this.lastConfiguration())?.hash === hash) return;
    await this.#write('save-configuration', null, async (db) => {
      // One that comes back after another is the last one again.
      await db.deleteFrom('configurations').where('hash', '=', hash).execute();
      await db
        .insertInto('configurations')
        .values({ hash, document: JSON.stringify(text) })
        .execute();
    });
  }

  async configuration(hash: string): Promise<Json | undefined> {
    const row = await this.#db
      .selectFrom('configurations')
      .select('document')
      .where('hash', '=', hash)
      .executeTakeFirst();
    return row === undefined ? undefined : (JSON.parse(row.document) as Json);
  }

  async lastConfiguration(): Promise<{ readonly hash: string; readonly text: Json } | undefined> {
    const row = await this.#db
      .selectFrom('configurations')
      .selectAll()
      .orderBy(sql`rowid`, 'desc')
      .executeTakeFirst();
    return row === undefined ? undefined : { hash: row.hash, text: JSON.parse(row.document) as Json };
  }

  async rememberPlan(hash: string, rowsLost: number, at: number): Promise<void> {
    await this.#write('remember-plan', null, async (db) => {
      const row = { rows_lost: rowsLost, shown_at: at };
      await db
        .insertInto('plans')
        .values({ hash, ...row })
        .onConflict((conflict) => conflict.column('hash').doUpdateSet(row))
        .execute();
    });
  }

  async shownRowsLost(hash: string): Promise<number | undefined> {
    const row = await this.#db
      .selectFrom('plans')
      .select('rows_lost')
      .where('hash', '=', hash)
      .executeTakeFirst();
    return row?.rows_lost;
  }

  async createRun(
    fence: number,
    plan: Plan,
    startedAt: number,
    label: string,
    release?: Release,
  ): Promise<NewRun> {
    return await this.#write('create-run', fence, async (db) => {
      if (release !== undefined) await putRelease(db, this.#masked(release));
      const text = JSON.stringify(this.#masked(plan));
      const id = await insertRun(db, plan, { text, label, startedAt });
      const root = { seq: 0, hash: rootOf(id, text, this.#runtime.digest) };
      const entries = await insertEntries(
        db,
        id,
        [{ type: 'run', status: 'running' }],
        root,
        this.#runtime,
        this.#keeping,
      );
      return { run: id, entries };
    });
  }

  async plan(run: number): Promise<Plan | undefined> {
    const row = await this.#db.selectFrom('runs').select('plan').where('id', '=', run).executeTakeFirst();
    return row === undefined ? undefined : readPlan(run, row.plan);
  }

  async runs(limit: number): Promise<readonly RunSummary[]> {
    const rows = await selectRuns(this.#db).orderBy('id', 'desc').limit(limit).execute();
    return rows.map(readRun);
  }

  async unendedRuns(): Promise<readonly RunSummary[]> {
    const unended = selectRuns(this.#db).where('status', 'not in', [...endedStatuses]);
    return (await unended.orderBy('id', 'desc').execute()).map(readRun);
  }

  async run(id: number): Promise<RunSummary | undefined> {
    const row = await selectRuns(this.#db).where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : readRun(row);
  }

  async append(
    fence: number,
    run: number,
    entries: readonly NewJournalEntry[],
  ): Promise<readonly JournalEntry[]> {
    return await this.#write('journal', fence, async (db) => {
      const last = await db
        .selectFrom('journal')
        .select(['seq', 'hash'])
        .where('run', '=', run)
        .orderBy('seq', 'desc')
        .limit(1)
        .executeTakeFirst();
      if (last === undefined) throw corrupt(run, 'the run has no first entry');
      return await insertEntries(db, run, entries, last, this.#runtime, this.#keeping);
    });
  }

  async journal(run: number): Promise<readonly JournalEntry[]> {
    return await readChain(this.#db, run, this.#runtime.digest, this.#keeping);
  }

  async acquireLease(request: LeaseRequest): Promise<LeaseAnswer> {
    return await this.#write('acquire-lease', null, async (db) => {
      const row = await leaseRow(db);
      const held = readLease(row);
      if (held !== undefined && !mayTake(held, request)) return { granted: false, holder: held };
      const lease = await giveLease(db, row.fence + 1, request, this.#masked(request.owner));
      const interrupted = held !== undefined && request.now < held.expiresAt ? held.run : null;
      return { granted: true, lease, superseded: interrupted };
    });
  }

  async renewLease(
    fence: number,
    run: number | null,
    kind: Plan['kind'] | null,
    expiresAt: number,
  ): Promise<boolean> {
    return await this.#write('renew-lease', null, async (db) => {
      const result = await db
        .updateTable('lease')
        .set({ run, kind, expires_at: expiresAt })
        .where('fence', '=', fence)
        .where('owner', 'is not', null)
        .executeTakeFirst();
      return Number(result.numUpdatedRows) > 0;
    });
  }

  async raiseFence(fence: number): Promise<number> {
    return await this.#write('raise-fence', fence, async (db) => {
      assertHeld(await leaseRow(db));
      await db
        .updateTable('lease')
        .set({ fence: fence + 1 })
        .where('id', '=', 1)
        .execute();
      return fence + 1;
    });
  }

  async releaseLease(fence: number): Promise<void> {
    await this.#write('release-lease', null, async (db) => {
      await db
        .updateTable('lease')
        .set({ owner: null, run: null, kind: null, expires_at: 0 })
        .where('fence', '=', fence)
        .execute();
    });
  }

  async lastFence(): Promise<number> {
    return (await leaseRow(this.#db)).fence;
  }

  async lease(): Promise<Lease | undefined> {
    return readLease(await leaseRow(this.#db));
  }

  async surfaceHosts(): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#db.selectFrom('places').selectAll().execute();
    return new Map(rows.map(({ surface, host }) => [surface, host]));
  }

  async placeSurfaces(fence: number, surfaces: readonly string[], host: string): Promise<void> {
    await this.#write('place-surfaces', fence, async (db) => {
      for (const surface of surfaces) {
        await db
          .insertInto('places')
          .values({ surface, host })
          .onConflict((conflict) => conflict.column('surface').doUpdateSet({ host }))
          .execute();
      }
    });
  }

  async signal(signal: Signal): Promise<boolean> {
    return await this.#write('signal', null, async (db) => {
      const result = await db
        .insertInto('signals')
        .values({ ...signal, payload: JSON.stringify(this.#masked(signal.payload)) })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      return Number(result.numInsertedOrUpdatedRows ?? 0) > 0;
    });
  }

  async signals(run: number): Promise<readonly Signal[]> {
    const rows = await this.#db.selectFrom('signals').selectAll().where('run', '=', run).execute();
    return rows.map((row) => ({ ...row, payload: JSON.parse(row.payload) as Json }));
  }

  async openIncident(incident: Omit<IncidentRecord, 'id'>): Promise<IncidentRecord> {
    return await this.#write('open-incident', null, async (db) => {
      const known = await incidentBy(db, 'run', incident.run);
      return known ?? (await insertIncident(db, { ...incident, draft: this.#keeping.mask(incident.draft) }));
    });
  }

  async saveIncidentDraft(id: number, draft: string): Promise<void> {
    await this.#write('save-incident', null, async (db) => {
      await db
        .updateTable('incidents')
        .set({ draft: this.#keeping.mask(draft) })
        .where('id', '=', id)
        .execute();
    });
  }

  async incidents(limit: number): Promise<readonly IncidentRecord[]> {
    const rows = await this.#db
      .selectFrom('incidents')
      .selectAll()
      .orderBy('id', 'desc')
      .limit(limit)
      .execute();
    return rows.map(readIncident);
  }

  async incident(id: number): Promise<IncidentRecord | undefined> {
    return await incidentBy(this.#db, 'id', id);
  }

  async incidentOfRun(run: number): Promise<IncidentRecord | undefined> {
    return await incidentBy(this.#db, 'run', run);
  }

  async close(): Promise<void> {
    // A transaction ends with its own work, and the connection with the store that it came from.
    if (this.#db.isTransaction) return;
    await this.#db.destroy();
    // Kysely ends nothing that was never asked anything.
    await this.#end();
  }
}
