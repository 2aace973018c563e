import type { Generated, Kysely, Transaction } from 'kysely';

/** Tables of the state. JSON columns hold domain objects as they are; columns beside them exist to be searched. */
export interface Tables {
  releases: { number: number; deployment: string; health: string; document: string };
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
  signals: { run: number; name: string; payload: string; at: number };
  incidents: { id: Generated<number>; run: number; release: string | null; opened_at: number; draft: string };
}

/** The connection, or a transaction on it. */
export type Database = Kysely<Tables> | Transaction<Tables>;

/**
 * Numbered steps that bring a state file forward; never edited once published. `readableFrom` is the oldest
 * version of this list whose code still understands the result: an additive step keeps the one before, a
 * breaking one names itself, and older programs then refuse with `state-version` instead of guessing.
 */
export interface StateMigration {
  readonly version: number;
  readonly readableFrom: number;
  readonly statements: readonly string[];
}

export const stateMigrations: readonly StateMigration[] = [
  {
    version: 1,
    readableFrom: 1,
    statements: [
      `create table releases (number integer primary key, deployment text not null, health text not null, document text not null) strict`,
      `create index releases_by_state on releases (deployment, number)`,
      `create index releases_by_health on releases (health, number)`,
      `create table quarantine ("commit" text primary key, release text not null, reason text not null, since integer not null, fixed_by text) strict`,
      `create table configurations (hash text primary key, document text not null, saved_at integer not null default (unixepoch())) strict`,
      `create table plans (hash text primary key, rows_lost integer not null, shown_at integer not null) strict`,
      `create table runs (id integer primary key autoincrement, kind text not null, status text not null, from_release text, to_release text, plan_hash text not null, label text not null, plan text not null, head text not null, started_at integer not null, updated_at integer not null) strict`,
      `create index runs_by_status on runs (status, id)`,
      `create table journal (run integer not null references runs (id), seq integer not null, at integer not null, entry text not null, hash text not null, primary key (run, seq)) strict, without rowid`,
      `create table lease (id integer primary key check (id = 1), owner text, fence integer not null, run integer, kind text, since integer not null, expires_at integer not null) strict`,
      `insert into lease (id, owner, fence, run, kind, since, expires_at) values (1, null, 0, null, null, 0, 0)`,
      `create table signals (run integer not null, name text not null, payload text not null, at integer not null, primary key (run, name)) strict, without rowid`,
      `create table incidents (id integer primary key autoincrement, run integer not null unique, release text, opened_at integer not null, draft text not null) strict`,
    ],
  },
];
