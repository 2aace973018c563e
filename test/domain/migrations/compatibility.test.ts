import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifyMigration } from '../../../src/domain/migrations/compatibility.ts';
import { parseMigrations } from '../../../src/domain/migrations/migration-files.ts';

function classify(up: string, comment = ''): ReturnType<typeof classifyMigration> {
  const [migration] = parseMigrations([
    { name: '0018_moods.sql', text: `${comment}\n-- migrate:up\n${up}\n` },
  ]);
  assert.ok(migration);
  return classifyMigration(migration);
}

const cases: readonly (readonly [
  up: string,
  oldRuns: boolean,
  newRuns: boolean,
  changed: readonly string[],
])[] = [
  ['CREATE TABLE moods (id INTEGER)', true, false, []],
  ['CREATE INDEX i ON entries (mood)', true, true, []],
  ['CREATE VIEW v AS SELECT 1', true, false, []],
  ['ALTER TABLE entries ADD COLUMN place TEXT', true, false, []],
  ["ALTER TABLE entries ADD place TEXT NOT NULL DEFAULT ''", true, false, []],
  ['ALTER TABLE entries ADD place TEXT NOT NULL', false, false, []],
  ['ALTER TABLE entries ADD place TEXT CHECK (place > 1)', false, false, []],
  ['ALTER TABLE entries DROP COLUMN mood', false, true, ['entries']],
  ['ALTER TABLE "entries" DROP mood', false, true, ['entries']],
  ['DROP TABLE entries', false, true, ['entries']],
  ['DROP TABLE IF EXISTS main.entries', false, true, ['entries']],
  ['DROP INDEX i', true, true, []],
  ['ALTER TABLE entries RENAME COLUMN mood TO feeling', false, false, []],
  ['ALTER TABLE entries RENAME TO notes', false, false, []],
  ['CREATE UNIQUE INDEX i ON entries (body)', false, false, []],
  ['CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM x; END', false, false, []],
  ['UPDATE entries SET body = lower(body)', true, true, ['entries']],
  ['WITH x AS (SELECT 1) UPDATE OR IGNORE entries SET body = 1, mood = 2 WHERE 1', true, true, ['entries']],
  ['DELETE FROM entries WHERE body IS NULL', true, true, ['entries']],
  ["INSERT INTO entries (body) VALUES ('a')", true, true, []],
  ['INSERT INTO entries SELECT * FROM old', true, true, ['entries']],
  ['INSERT OR REPLACE INTO entries VALUES (1)', true, true, ['entries']],
  ['INSERT INTO entries VALUES (1) ON CONFLICT (id) DO UPDATE SET body = 2', true, true, ['entries']],
  // Filling what the migration itself adds touches nothing that was there.
  ['ALTER TABLE entries ADD n INT; UPDATE entries SET n = length(body)', true, false, []],
  ['CREATE TABLE m (x); INSERT INTO m SELECT mood FROM entries; DELETE FROM m', true, false, []],
  [
    'CREATE TABLE new (id); INSERT INTO new SELECT id FROM entries; DROP TABLE entries; ALTER TABLE new RENAME TO entries',
    ...([false, false, ['entries']] as const),
  ],
  ['PRAGMA foreign_keys = OFF; SELECT 1', true, true, []],
  ['GRANT ALL TO everybody', false, false, ['?']],
  ['DROP VIEW v', false, true, []],
  ['DROP TRIGGER IF EXISTS t', false, true, []],
  ['TRUNCATE TABLE entries', true, true, ['entries']],
  ['TRUNCATE entries', true, true, ['entries']],
  ['ALTER TABLE entries ADD CONSTRAINT c CHECK (mood > 1)', false, false, []],
  ['WITH x AS (SELECT 1) SELECT * FROM x', true, true, []],
  ['WITH "x" AS (SELECT 1) DELETE FROM entries', true, true, ['entries']],
  ['UPDATE entries SET (a, b) = (1, 2)', true, true, ['entries']],
  // What the migration itself makes may be changed freely: older code has never seen it.
  ['CREATE TABLE m (x); DROP TABLE m', true, false, []],
  ['CREATE TABLE m (x); CREATE TRIGGER t AFTER INSERT ON m BEGIN SELECT 1; END', true, false, []],
  ['CREATE TABLE m (x); ALTER TABLE m RENAME TO n; DELETE FROM n', true, false, []],
  ['CREATE TABLE m (x); ALTER TABLE m ADD COLUMN y INT NOT NULL', true, false, []],
  ['CREATE TABLE m (x); ALTER TABLE m RENAME COLUMN x TO y', true, false, []],
  ['CREATE TABLE m (x, y); ALTER TABLE m DROP COLUMN y', true, false, []],
  // What is not understood counts as breaking and as changing rows, and a table that can't be named is still one that changes.
  ['CREATE ROLE reader', false, false, ['?']],
  ['DROP SCHEMA s', false, false, ['?']],
  ['ALTER SEQUENCE s RESTART', false, false, ['?']],
  ['ALTER TABLE entries ALTER COLUMN mood TYPE INT', false, false, ['entries']],
  ['CREATE TABLE m (x); ALTER TABLE m ALTER COLUMN x TYPE INT', false, false, []],
  ['MERGE INTO entries USING moods ON true WHEN MATCHED THEN DELETE', false, false, ['?']],
  ['DO $$ BEGIN UPDATE entries SET body = 1; END $$', false, false, ['?']],
  ['7 8', false, false, ['?']],
  ['CREATE TRIGGER t ON', false, false, []],
  ['DELETE FROM', true, true, ['?']],
  ['DELETE FROM main.(x)', true, true, ['?']],
  ['UPDATE entries SET 7 = 1', true, true, ['entries']],
];

for (const [up, oldRuns, newRuns, changed] of cases) {
  test(`compatibility of: ${up}`, () => {
    const found = classify(up);
    assert.deepEqual(
      [found.oldCodeRuns.holds, found.newCodeRuns.holds, found.changesRows.tables, found.changesRows.holds],
      [oldRuns, newRuns, changed, changed.length > 0],
      JSON.stringify(found, null, 1),
    );
  });
}

test('the reason names the migration, what it does, and to what', () => {
  const found = classify(
    'ALTER TABLE entries DROP COLUMN mood; UPDATE entries SET body = lower(body), x = 1',
  );
  assert.equal(found.oldCodeRuns.reason, '0018_moods drops entries.mood, which older code may read');
  assert.equal(found.changesRows.reason, '0018_moods drops entries.mood with its values');
  const many = classify('DROP TABLE a; DROP TABLE b; DROP TABLE c; DROP TABLE d; DROP TABLE e');
  assert.match(many.oldCodeRuns.reason, /; and 2 more$/);
});

test("the author's word goes before the text", () => {
  const comment = '-- unship: old-code-runs new-code-breaks, rows-unchanged';
  const found = classify('DROP TABLE entries', comment);
  assert.deepEqual(
    [found.oldCodeRuns.holds, found.newCodeRuns.holds, found.changesRows.holds],
    [true, false, false],
  );
  assert.match(found.oldCodeRuns.reason, /0018_moods declares/);
});

test('that old code runs says nothing of the rows that a statement nobody understands may have rewritten', () => {
  const up = 'ALTER TABLE entries ALTER COLUMN mood TYPE INT';
  const { oldCodeRuns, changesRows } = classify(up, '-- unship: old-code-runs');
  assert.deepEqual([oldCodeRuns.holds, changesRows.holds], [true, true]);
  assert.equal(
    changesRows.reason,
    '0018_moods has a statement whose effect is not known (ALTER TABLE entries ALTER COLUMN mood …)',
  );
  assert.equal(classify(up, '-- unship: old-code-runs, rows-unchanged').changesRows.holds, false);
});
