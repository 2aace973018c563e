import { UnshipError } from '../domain/errors.ts';

/**
 * Numbered steps that bring a state forward; never edited once published. `readableFrom` is the oldest version of this
 * list whose code still understands the result: an additive step keeps the one before, a breaking one names itself, and
 * older programs then refuse with `state-version` instead of guessing.
 */
export interface StateMigration {
  readonly version: number;
  readonly readableFrom: number;
  readonly sqlite: readonly string[];
  readonly postgres: readonly string[];
}

export const stateMigrations: readonly StateMigration[] = [
  {
    version: 1,
    readableFrom: 1,
    sqlite: [
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
    // JSON is kept as text: `jsonb` would write it anew, and the hashes of the journal cover each of its bytes.
    postgres: [
      `create table releases (number bigint primary key, deployment text not null, health text not null, document text not null)`,
      `create index releases_by_state on releases (deployment, number)`,
      `create index releases_by_health on releases (health, number)`,
      `create table quarantine ("commit" text primary key, release text not null, reason text not null, since bigint not null, fixed_by text)`,
      // SQLite numbers rows by itself; the last configuration is the one with the highest number.
      `create table configurations (rowid bigint generated always as identity, hash text primary key, document text not null, saved_at bigint not null default extract(epoch from clock_timestamp())::bigint)`,
      `create table plans (hash text primary key, rows_lost bigint not null, shown_at bigint not null)`,
      `create table runs (id bigint generated always as identity primary key, kind text not null, status text not null, from_release text, to_release text, plan_hash text not null, label text not null, plan text not null, head text not null, started_at bigint not null, updated_at bigint not null)`,
      `create index runs_by_status on runs (status, id)`,
      `create table journal (run bigint not null references runs (id), seq bigint not null, at bigint not null, entry text not null, hash text not null, primary key (run, seq))`,
      `create table lease (id bigint primary key check (id = 1), owner text, fence bigint not null, run bigint, kind text, since bigint not null, expires_at bigint not null)`,
      `insert into lease (id, owner, fence, run, kind, since, expires_at) values (1, null, 0, null, null, 0, 0)`,
      `create table signals (run bigint not null, name text not null, payload text not null, at bigint not null, primary key (run, name))`,
      `create table incidents (id bigint generated always as identity primary key, run bigint not null unique, release text, opened_at bigint not null, draft text not null)`,
    ],
  },
  {
    // A plan compares commits: read out of each document, one that PostgreSQL can't read would stop every plan.
    version: 2,
    readableFrom: 1,
    sqlite: [
      `alter table releases add column "commit" text not null default ''`,
      `update releases set "commit" = coalesce(document ->> 'commit', '')`,
      `create table places (surface text primary key, host text not null) strict`,
    ],
    postgres: [
      `alter table releases add column "commit" text not null default ''`,
      `create table places (surface text primary key, host text not null)`,
    ],
  },
];

export const newestStateVersion: number = stateMigrations.at(-1)?.version ?? 0;

/** Throws `state-version` for a state that a newer program has written in a way this one can't read. */
export function assertReadable(state: string, version: number, readableFrom: number): void {
  if (readableFrom <= newestStateVersion) return;
  throw new UnshipError('state-version', {
    happened: `${state} has version ${version}, readable from ${readableFrom}; this program knows ${newestStateVersion}`,
    done: 'nothing',
  });
}
