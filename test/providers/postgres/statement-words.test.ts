import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import type { Classification } from '../../../src/domain/migrations/compatibility.ts';
import { type Migration, parseMigrations } from '../../../src/domain/migrations/migration-files.ts';
import { loadParser, type Parse } from '../../../src/providers/postgres/parse.ts';
import { costInWords } from '../../../src/providers/postgres/statements/verdict.ts';
import { judgeMigration, judgeStatements } from '../../../src/providers/postgres/statements.ts';

let parse: Parse;
before(async () => {
  parse = await loadParser();
});

function migrationOf(sql: string): Migration {
  const [migration] = parseMigrations([{ name: '7_change.sql', text: `-- migrate:up\n${sql}\n` }]);
  assert.ok(migration !== undefined);
  return migration;
}

async function classify(sql: string): Promise<Classification> {
  return (await judgeMigration(migrationOf(sql))).classification;
}

function holds({ oldCodeRuns, newCodeRuns, changesRows }: Classification): string {
  return [
    oldCodeRuns.holds ? 'old runs' : 'old breaks',
    newCodeRuns.holds ? 'new runs' : 'new breaks',
    changesRows.holds ? `changes ${changesRows.tables.join(', ')}` : 'rows stay',
  ].join('; ');
}

describe('what a migration means for code and rows', () => {
  const cases: readonly (readonly [sql: string, means: string])[] = [
    ['CREATE TABLE notes (id int); CREATE UNIQUE INDEX n ON notes (id);', 'old runs; new breaks; rows stay'],
    ['CREATE INDEX CONCURRENTLY i ON users (name);', 'old runs; new runs; rows stay'],
    ['ALTER TABLE users ADD COLUMN nick text;', 'old runs; new breaks; rows stay'],
    ['ALTER TABLE users ADD COLUMN nick text NOT NULL;', 'old breaks; new breaks; rows stay'],
    [
      "ALTER TABLE users ADD COLUMN nick text; UPDATE users SET nick = 'x'; ALTER TABLE users ALTER nick SET NOT NULL;",
      'old breaks; new breaks; rows stay',
    ],
    ['ALTER TABLE users DROP COLUMN name;', 'old breaks; new runs; changes users'],
    ['UPDATE users SET name = lower(name);', 'old runs; new runs; changes users'],
    [
      'CREATE TABLE users_new (id int); INSERT INTO users_new SELECT id FROM users; DROP TABLE users; ALTER TABLE users_new RENAME TO users;',
      'old breaks; new breaks; changes users',
    ],
    ['CREATE TABLE t (id int); INSERT INTO t VALUES (1); DROP TABLE t;', 'old runs; new breaks; rows stay'],
    ['DROP VIEW adults;', 'old breaks; new runs; rows stay'],
    ["ALTER TYPE mood ADD VALUE 'mixed';", 'old runs; new breaks; rows stay'],
    [
      'CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;',
      'old breaks; new breaks; rows stay',
    ],
    ['CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;', 'old runs; new breaks; rows stay'],
    ["DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'users'; END $$;", 'old breaks; new breaks; changes ?'],
    ['CALL clean();', 'old breaks; new breaks; changes ?'],
    ["SELECT cron.schedule('x', '* * * * *', 'DELETE FROM users');", 'old breaks; new breaks; changes ?'],
    ['SELECT count(*) FROM users;', 'old runs; new runs; rows stay'],
    ['ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;', 'old breaks; new breaks; rows stay'],
    ['ALTER TABLE users ENABLE ROW LEVEL SECURITY;', 'old breaks; new runs; rows stay'],
    ['ALTER TABLE users ALTER COLUMN age TYPE bigint;', 'old breaks; new breaks; changes users'],
    ["COMMENT ON TABLE users IS 'x'; SET lock_timeout = '1s';", 'old runs; new runs; rows stay'],
    ["ALTER SYSTEM SET work_mem = '1GB';", 'old breaks; new breaks; changes ?'],
    [
      '-- unship: old-code-runs rows-unchanged\nUPDATE users SET name = NULL;',
      'old runs; new runs; rows stay',
    ],
    ['REVOKE ALL ON users FROM app;', 'old breaks; new runs; rows stay'],
  ];
  for (const [sql, means] of cases) {
    it(sql, async () => assert.equal(holds(await classify(sql)), means));
  }

  it('the reason names the migration and what it does', async () => {
    assert.equal(
      (await classify('ALTER TABLE users RENAME COLUMN name TO full_name;')).oldCodeRuns.reason,
      '7_change renames users.name, which older code may read',
    );
    assert.equal(
      (await classify('ALTER TABLE users ADD COLUMN a int;')).oldCodeRuns.reason,
      '7_change only adds what older code does not use',
    );
  });
});

describe('what is said about the time it takes', () => {
  const words = (sql: string): readonly string[] =>
    judgeStatements(parse('x.sql', sql)).flatMap((verdict) => costInWords(verdict));

  it('is in words of those who use the table', () => {
    assert.deepEqual(words('CREATE INDEX i ON users (name)'), [
      'writes to users wait, reads go on, until all rows of users are read',
    ]);
    assert.deepEqual(words('ALTER TABLE users ALTER COLUMN age TYPE bigint'), [
      'reads and writes of users wait, until users is written anew, row by row',
    ]);
    assert.deepEqual(words('ALTER TABLE users ADD COLUMN a int'), [
      'reads and writes of users wait, for a moment, once every transaction that uses it has ended',
    ]);
    assert.deepEqual(words('CREATE TABLE a (id int); CREATE INDEX i ON a (id); UPDATE users SET x = 1'), []);
  });
});

describe('the text of a script', () => {
  it('COMMIT ends what could be taken back together', () => {
    const verdicts = judgeStatements(parse('x.sql', 'BEGIN; UPDATE a SET b = 1; COMMIT;'));
    assert.deepEqual(
      verdicts.map((verdict) => verdict.transaction),
      ['ends', 'any', 'ends'],
    );
  });

  it('names without a schema follow the search path', () => {
    const [, drop] = judgeStatements(parse('x.sql', 'SET search_path = shop; DROP TABLE items;'));
    assert.deepEqual([...(drop?.locks.keys() ?? [])], ['shop.items']);
  });

  it('a statement is found with its line, whatever stands before it', () => {
    const found = parse('x.sql', "-- é\nSELECT 'ü;';\n\n/* ; */ CREATE TABLE ä (x int) ;\n;\n");
    assert.deepEqual(
      found.map(({ line, text }) => [line, text]),
      [
        [2, "SELECT 'ü;'"],
        [4, 'CREATE TABLE ä (x int)'],
      ],
    );
    assert.deepEqual(parse('x.sql', '-- nothing\n'), []);
  });

  it('what the grammar does not take is refused with file and line', () => {
    assert.throws(
      () => parse('7_change.sql', 'SELECT 1;\nALTER TABEL users;'),
      (error) =>
        isUnshipError(error) &&
        error.slug === 'migration-invalid' &&
        /7_change\.sql, line 2/.test(error.message),
    );
  });
});
