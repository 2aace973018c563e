import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { type Ended, type Row, said, type World } from '../support/world.ts';

/** What a failed command says in `--json`: on its own, or in the report of the run that failed. */
export interface Told {
  readonly slug: string;
  readonly happened: string;
  readonly done?: string;
  readonly next?: string;
}

/** It ended as it should: exit code, slug, one JSON document that says the same, and no trace. */
export function requireTold(ended: Ended, exit: number, slug: string): Told {
  assert.equal(ended.exit, exit, said(ended));
  const document = JSON.parse(ended.stdout) as Told & { readonly error?: Told; readonly exit?: number };
  const told = document.error ?? document;
  assert.equal(told.slug, slug, said(ended));
  if (document.error === undefined) assert.equal(document.exit, exit);
  assert.ok(told.happened.length > 0 && told.next !== '', said(ended));
  assert.doesNotMatch(ended.stderr, /^ {4}at /m);
  return told;
}

export interface Picture {
  readonly served: {
    readonly status: number;
    readonly release: string | null;
    readonly version: string | null;
  };
  readonly rows: readonly Row[];
  readonly columns: readonly string[];
  readonly ledger: readonly string[];
}

/** Everything that must be as before after a refusal, as seen from outside. */
export async function picture(world: World): Promise<Picture> {
  const { status, release, version } = await world.page();
  return {
    served: { status, release, version },
    rows: world.rows(),
    columns: world.columns(),
    ledger: world.ledger(),
  };
}

/** Folds the log in and keeps a copy, so that a damage can be undone. */
export function copyOf(file: string): { readonly bytes: Buffer; putBack(): void } {
  const database = new DatabaseSync(file);
  database.exec('pragma wal_checkpoint(truncate)');
  database.close();
  copyFileSync(file, `${file}.copy`);
  return {
    bytes: readFileSync(file),
    putBack: () => {
      removeDatabase(file);
      copyFileSync(`${file}.copy`, file);
    },
  };
}

export function removeDatabase(file: string): void {
  for (const ending of ['', '-wal', '-shm']) rmSync(`${file}${ending}`, { recursive: true, force: true });
}

/** A migration that adds one text column. */
export function adding(column: string): string {
  return `-- migrate:up
alter table entries add column ${column} text;

-- migrate:down
alter table entries drop column ${column};
`;
}
