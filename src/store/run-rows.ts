import type { Selectable, SelectQueryBuilder, Transaction } from 'kysely';
import type { Plan } from '../domain/plan.ts';
import type { ReleaseId } from '../domain/release.ts';
import type { RunStatus, RunSummary } from '../domain/run.ts';
import { corrupt } from './journal-chain.ts';
import type { Database, Tables } from './schema.ts';

/** All but the plan, which may be long. */
const summaryColumns = [
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

type SummaryRow = Pick<Selectable<Tables['runs']>, (typeof summaryColumns)[number]>;

export function selectRuns(db: Database): SelectQueryBuilder<Tables, 'runs', SummaryRow> {
  return db.selectFrom('runs').select(summaryColumns);
}

export function readRun(row: SummaryRow): RunSummary {
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

/** The run that the lease is held for from now on; its journal is still empty. `text` is the plan as it is kept. */
export async function insertRun(
  db: Transaction<Tables>,
  plan: Plan,
  { text, label, startedAt }: { readonly text: string; readonly label: string; readonly startedAt: number },
): Promise<number> {
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
  return id;
}

export function readPlan(run: number, text: string): Plan {
  try {
    return JSON.parse(text) as Plan;
  } catch {
    throw corrupt(run, `the plan of run ${run} can't be read`);
  }
}
