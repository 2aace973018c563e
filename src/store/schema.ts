import type { Generated, Kysely, Transaction } from 'kysely';

/** Tables of the state. JSON columns hold domain objects as they are; columns beside them exist to be searched. */
export interface Tables {
  releases: {
    number: number;
    deployment: string;
    health: string;
    /** Empty where an older program has written it. */
    commit: string;
    document: string;
  };
  quarantine: { commit: string; release: string; reason: string; since: number; fixed_by: string | null };
  configurations: { hash: string; document: string; saved_at: Generated<number> };
  plans: { hash: string; rows_lost: number; shown_at: number };
  runs: {
    id: Generated<number>;
    kind: string;
    status: string;
    from_release: string | null;
    to_release: string | null;
    plan_hash: string;
    label: string;
    plan: string;
    /** Hash of its newest journal entry: without it, entries lost at the end would leave a whole chain. */
    head: string;
    started_at: number;
    updated_at: number;
  };
  journal: { run: number; seq: number; at: number; entry: string; hash: string };
  /** One row: the last lease given. `owner` is null once it was given back. */
  lease: {
    id: number;
    owner: string | null;
    fence: number;
    run: number | null;
    kind: string | null;
    since: number;
    expires_at: number;
  };
  /** Which machine holds what there is of a surface. */
  places: { surface: string; host: string };
  signals: { run: number; name: string; payload: string; at: number };
  incidents: { id: Generated<number>; run: number; release: string | null; opened_at: number; draft: string };
}

/** The connection, or a transaction on it. */
export type Database = Kysely<Tables> | Transaction<Tables>;
