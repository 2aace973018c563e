import type { Transaction } from 'kysely';
import { isUnshipError, UnshipError } from '../domain/errors.ts';
import type { JournalEntry, NewJournalEntry, RunStatus } from '../domain/run.ts';
import type { Runtime } from '../domain/runtime.ts';
import { type Keeping, masked } from './keeping.ts';
import type { Database, Tables } from './schema.ts';

/** Each hash covers the one before it; the run keeps the last one, and what the entries made of its status. */
export async function insertEntries(
  db: Transaction<Tables>,
  run: number,
  entries: readonly NewJournalEntry[],
  last: { readonly seq: number; readonly hash: string },
  { clock, digest }: Runtime,
  { mask }: Keeping,
): Promise<readonly JournalEntry[]> {
  const appended: JournalEntry[] = [];
  let { seq, hash } = last;
  let status: RunStatus | undefined;
  for (const entry of entries) {
    seq += 1;
    const whole: JournalEntry = { ...masked(entry, mask), seq, at: clock.now() };
    const text = JSON.stringify(whole);
    hash = digest(`${hash}\n${text}`);
    await db.insertInto('journal').values({ run, seq, at: whole.at, entry: text, hash }).execute();
    if (entry.type === 'run') status = entry.status;
    appended.push(whole);
  }
  const updated_at = appended.at(-1)?.at;
  if (updated_at === undefined) return [];
  await db
    .updateTable('runs')
    .set(status === undefined ? { head: hash, updated_at } : { head: hash, updated_at, status })
    .where('id', '=', run)
    .execute();
  return appended;
}

/** What the chain hangs on: the entries mean nothing without the plan whose steps they name. */
export function rootOf(run: number, plan: string, digest: Runtime['digest']): string {
  return digest(`run ${run}\n${plan}`);
}

/**
 * All entries of a run, oldest first. Throws `journal-corrupt` where the chain does not hold, when what is stored has
 * been put aside: the run may be superseded, which writes to it.
 */
export async function readChain(
  db: Database,
  run: number,
  digest: Runtime['digest'],
  keeping: Keeping,
): Promise<readonly JournalEntry[]> {
  try {
    return await readVerified(db, run, digest);
  } catch (error) {
    if (!isUnshipError(error) || error.slug !== 'journal-corrupt') throw error;
    const place = keeping.setAside(run, await evidence(db, run));
    if (place === null) throw error;
    throw corrupt(run, error.details.happened, `; what is stored of it was copied to ${place}`);
  }
}

/** What is stored of a run as it stands there, unchecked. */
async function evidence(db: Database, run: number): Promise<string> {
  const row = await db.selectFrom('runs').selectAll().where('id', '=', run).executeTakeFirst();
  const journal = await db.selectFrom('journal').selectAll().where('run', '=', run).orderBy('seq').execute();
  return JSON.stringify({ run: row, journal }, null, 1);
}

async function readVerified(
  db: Database,
  run: number,
  digest: Runtime['digest'],
): Promise<readonly JournalEntry[]> {
  // One statement, so that an entry that another process appends meanwhile can't part head and entries.
  const rows = await db
    .selectFrom('runs')
    .leftJoin('journal', 'journal.run', 'runs.id')
    .select(['runs.head', 'journal.seq', 'journal.at', 'journal.entry', 'journal.hash'])
    .select((of) => of.case().when('journal.seq', '=', 1).then(of.ref('runs.plan')).end().as('plan'))
    .where('runs.id', '=', run)
    .orderBy('journal.seq')
    .execute();
  const [first] = rows;
  if (first === undefined) return [];
  let before = rootOf(run, first.plan ?? '', digest);
  const entries = rows.map((row, index) => {
    const hash = digest(`${before}\n${row.entry ?? ''}`);
    if (row.entry === null || hash !== row.hash || row.seq !== index + 1) {
      throw corrupt(run, `entry ${index + 1} of run ${run} does not match its chain`);
    }
    before = hash;
    const entry = JSON.parse(row.entry) as JournalEntry;
    if (entry.at !== row.at) throw corrupt(run, `the time of entry ${row.seq} of run ${run} was changed`);
    return entry;
  });
  if (before !== first.head) throw corrupt(run, `run ${run} lacks entries after ${entries.length}`);
  return entries;
}

export function corrupt(run: number, happened: string, kept = ''): UnshipError {
  return new UnshipError('journal-corrupt', {
    happened,
    done: `nothing; run ${run} is not continued${kept}`,
  });
}
