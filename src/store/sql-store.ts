import { type Insertable, type Selectable, sql, type Transaction } from 'kysely';
import { canonicalJson, type Json } from '../domain/json.ts';
import type { Plan } from '../domain/plan.ts';
import type { History, QuarantinedCommit, Release, ReleaseId } from '../domain/release.ts';
import { releaseNumber } from '../domain/release.ts';
import {
  endedStatuses,
  type JournalEntry,
  type NewJournalEntry,
  type RunStatus,
  type RunSummary,
} from '../domain/run.ts';
import type { Runtime } from '../domain/runtime.ts';
import { corrupt, insertEntries, readChain, rootOf } from './journal-chain.ts';
import { type Keeping, masked, plainKeeping } from './keeping.ts';
import { assertFence, leaseRow, mayTake, readLease } from './lease-row.ts';
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

  /** `db` may be a transaction under way: then every write is a part of it. */
  constructor(db: Database, runtime: Runtime, keeping: Keeping = plainKeeping) {
    this.#db = db;
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
    return { releases: rows.map(readRelease), quarantine: await this.#quarantine() };
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
    // What a plan can come from or go to: the newest ones, the live one, the newest good ones before it, those of
    // them that are of another commit (one may have been deployed every night), the named one. However far back the live one lies, it and the way back from it are among them. As one
    // statement, for a rollback waits for it, and over indexes, for the history may be long.
    const named = target === undefined ? 0 : releaseNumber(target);
    const { rows } = await sql<{ document: string }>`
      with live(number) as (
        select coalesce(max(number), 0) from releases where deployment = 'live'
      ), wanted(number) as (
        select number from (select number from releases where number >= (select number from live)
          order by number desc limit 50)
        union select number from live
        union select cast(${named} as integer)
        union select number from (select number from releases where health = 'good' order by number desc limit 20)
        union select number from (select number from releases where health = 'good'
          and number < (select number from live) order by number desc limit 20)
        union select number from (select number from releases where health = 'good'
          and number < (select number from live)
          and document ->> 'commit' <> (select document ->> 'commit' from releases
            where number = (select number from live))
          order by number desc limit 20)
      )
      select document from releases where number in (select number from wanted) order by number desc
    `.execute(this.#db);
    const releases = rows.map(readRelease);
    return { releases, quarantine: await this.#quarantine() };
  }

  async #quarantine(): Promise<readonly QuarantinedCommit[]> {
    const rows = await this.#db.selectFrom('quarantine').selectAll().orderBy('since', 'desc').execute();
    return rows.map((row) => ({
      commit: row.commit,
      release: row.release as ReleaseId,
      reason: row.reason,
      since: row.since,
      ...(row.fixed_by === null ? {} : { fixedBy: row.fixed_by }),
    }));
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
      const row = {
        release: entry.release,
        reason: this.#keeping.mask(entry.reason),
        since: entry.since,
        fixed_by: entry.fixedBy ?? null,
      };
      await db
        .insertInto('quarantine')
        .values({ commit: entry.commit, ...row })
        .onConflict((conflict) => conflict.column('commit').doUpdateSet(row))
        .execute();
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
      const { id } = await db
        .insertInto('runs')
        .values({
          kind: plan.kind,
          status: 'running',
          from_release: plan.from,
          to_release: plan.to,
          plan_hash: plan.hash,
          label,
          plan: text,
          head: '',
          started_at: startedAt,
          updated_at: startedAt,
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      await db.updateTable('lease').set({ run: id, kind: plan.kind }).where('id', '=', 1).execute();
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
    const rows = await this.#db
      .selectFrom('runs')
      .select(runColumns)
      .orderBy('id', 'desc')
      .limit(limit)
      .execute();
    return rows.map(readRun);
  }

  async unendedRuns(): Promise<readonly RunSummary[]> {
    const rows = await this.#db
      .selectFrom('runs')
      .select(runColumns)
      .where('status', 'not in', [...endedStatuses])
      .orderBy('id', 'desc')
      .execute();
    return rows.map(readRun);
  }

  async run(id: number): Promise<RunSummary | undefined> {
    const row = await this.#db.selectFrom('runs').select(runColumns).where('id', '=', id).executeTakeFirst();
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
      const lease: Lease = {
        owner: request.owner,
        fence: row.fence + 1,
        run: request.run,
        kind: request.kind,
        since: request.now,
        expiresAt: request.now + request.ttlMs,
      };
      await db
        .updateTable('lease')
        .set({
          owner: canonicalJson(this.#masked(request.owner) as unknown as Json),
          fence: lease.fence,
          run: lease.run,
          kind: lease.kind,
          since: lease.since,
          expires_at: lease.expiresAt,
        })
        .where('id', '=', 1)
        .execute();
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
      const known = await db
        .selectFrom('incidents')
        .selectAll()
        .where('run', '=', incident.run)
        .executeTakeFirst();
      if (known !== undefined) return readIncident(known);
      const row = await db
        .insertInto('incidents')
        .values({
          run: incident.run,
          release: incident.release,
          opened_at: incident.openedAt,
          draft: this.#keeping.mask(incident.draft),
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      return readIncident(row);
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
    const row = await this.#db.selectFrom('incidents').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : readIncident(row);
  }

  async incidentOfRun(run: number): Promise<IncidentRecord | undefined> {
    const row = await this.#db.selectFrom('incidents').selectAll().where('run', '=', run).executeTakeFirst();
    return row === undefined ? undefined : readIncident(row);
  }

  async close(): Promise<void> {
    // A transaction ends with its own work, and the connection with the store that it came from.
    if (!this.#db.isTransaction) await this.#db.destroy();
  }
}

async function putRelease(db: Database, release: Release): Promise<void> {
  const row: Insertable<Tables['releases']> = {
    number: releaseNumber(release.id),
    deployment: release.deployment,
    health: release.health,
    document: JSON.stringify(release),
  };
  await db
    .insertInto('releases')
    .values(row)
    .onConflict((conflict) => conflict.column('number').doUpdateSet(row))
    .execute();
}

function readPlan(run: number, text: string): Plan {
  try {
    return JSON.parse(text) as Plan;
  } catch {
    throw corrupt(run, `the plan of run ${run} can't be read`);
  }
}

function readRelease(row: { readonly document: string }): Release {
  return JSON.parse(row.document) as Release;
}

/** All but the plan, which may be long. */
const runColumns = [
  'id',
  'kind',
  'status',
  'from_release',
  'to_release',
  'plan_hash',
  'label',
  'started_at',
  'updated_at',
] as const;

function readRun(row: Pick<Selectable<Tables['runs']>, (typeof runColumns)[number]>): RunSummary {
  return {
    id: row.id,
    kind: row.kind as RunSummary['kind'],
    status: row.status as RunStatus,
    from: row.from_release as ReleaseId | null,
    to: row.to_release as ReleaseId | null,
    planHash: row.plan_hash,
    label: row.label,
    startedAt: row.started_at,
    updatedAt: row.updated_at,
  };
}

function readIncident(row: Selectable<Tables['incidents']>): IncidentRecord {
  return {
    id: row.id,
    run: row.run,
    release: row.release as ReleaseId | null,
    openedAt: row.opened_at,
    draft: row.draft,
  };
}
