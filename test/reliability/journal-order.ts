import { DatabaseSync } from 'node:sqlite';

/** Words that whoever goes on with a run begins with. */
const openingNotes = new Set(['resumed', 'stays due', 'what was given up comes too late from here on']);

interface Written {
  readonly run: number;
  readonly seq: number;
  readonly fence: number;
  readonly type: string;
  readonly status: string | null;
  readonly note: string | null;
}

/**
 * Has the state itself note in which order, and under which lease, the entries of all journals were written: their
 * times can't tell, for clocks are wrong here.
 */
export function recordJournalOrder(file: string): void {
  const database = new DatabaseSync(file, { timeout: 10_000 });
  try {
    database.exec(`
      create table observed_order (n integer primary key, run integer, seq integer, fence integer);
      create trigger observe_order after insert on journal begin
        insert into observed_order (run, seq, fence) values (new.run, new.seq, (select fence from lease));
      end`);
  } finally {
    database.close();
  }
}

/**
 * Two holders at once would show as journals that mix: whoever writes into another run than the one before has
 * begun it, goes on with it, or ends it for good. And leases only ever go up.
 */
export function mixedHolders(database: DatabaseSync): readonly string[] {
  const written = database
    .prepare(
      `select o.run, o.seq, o.fence, entry ->> 'type' as type, entry ->> 'status' as status, coalesce(entry ->> 'note', entry ->> 'text') as note
       from observed_order o join journal j on j.run = o.run and j.seq = o.seq order by n`,
    )
    .all() as unknown as readonly Written[];
  const found: string[] = [];
  let current: Written | undefined;
  for (const entry of written) {
    if (current !== undefined && entry.fence < current.fence)
      found.push(`lease ${entry.fence} wrote after lease ${current.fence}`);
    const isSuperseding = entry.status === 'superseded';
    if (current !== undefined && entry.run !== current.run && !isSuperseding && !mayTurnTo(entry))
      found.push(`run ${entry.run} went on at entry ${entry.seq} in the middle of run ${current.run}`);
    if (current?.run === entry.run && current.fence !== entry.fence && !mayTurnTo(entry) && !isSuperseding)
      found.push(`run ${entry.run} changed hands at entry ${entry.seq} without a word`);
    // What is superseded is written by whoever begins next; it is not the run that goes on.
    if (!isSuperseding) current = entry;
  }
  return found;
}

/** Before it says that it goes on, a run's steps that failed are opened again. */
function mayTurnTo({ seq, type, status, note }: Written): boolean {
  return seq === 1 || openingNotes.has(note ?? '') || (type === 'step' && status === 'pending');
}

/** The last journals as they were written, a line each entry: for whoever looks into what a seed has found. */
export function lastJournals(database: DatabaseSync): string {
  const lines = database
    .prepare(
      `select o.run, o.seq, o.fence, r.kind, r.from_release as "from", r.to_release as "to", j.at, j.entry
       from observed_order o join journal j on j.run = o.run and j.seq = o.seq join runs r on r.id = o.run
       order by n desc limit 120`,
    )
    .all()
    .map(({ run, seq, fence, kind, from, to, at, entry }) => {
      const { type, step, status, note, text, attempt, error } = JSON.parse(String(entry));
      const what = [type, step, status, note ?? text, attempt, error?.message].filter(
        (part) => part !== undefined,
      );
      return `${at} run ${run} (${kind} ${from} to ${to}) fence ${fence} #${seq}: ${what.join(' ')}`;
    });
  const releases = database
    .prepare(`select document ->> 'id' as id, deployment, health from releases order by number desc limit 8`)
    .all()
    .map(({ id, deployment, health }) => `${id} ${deployment} ${health}`);
  return [...lines.reverse(), ...releases].join('\n');
}
