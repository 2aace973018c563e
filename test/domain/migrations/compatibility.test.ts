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

/** What is said of the code before, the code after and the rows; nothing where there is nothing to fear. */
const said: readonly (readonly [up: string, old: string, newer: string, rows: string])[] = [
  // Words that may stand in front of a name are no names.
  ['CREATE TABLE IF NOT EXISTS moods (id); DELETE FROM MOODS', '', 'adds the table moods', ''],
  ['CREATE TEMP TABLE t (x); CREATE TEMPORARY TABLE u (x); DELETE FROM t; DELETE FROM u', '', '', ''],
  ['CREATE VIRTUAL TABLE notes USING fts5(body)', '', 'adds the table notes', ''],
  [
    'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON entries (body)',
    'makes rows of entries unique (i), which older code need not heed',
    'adds the unique index i',
    '',
  ],
  ['CREATE TABLE Moods (x); CREATE UNIQUE INDEX i ON moods (x)', '', 'adds the table Moods', ''],
  ['CREATE VIEW IF NOT EXISTS v AS SELECT 1', '', 'adds the view v', ''],
  [
    'CREATE TRIGGER IF NOT EXISTS t AFTER INSERT ON entries BEGIN SELECT 1; END',
    'adds the trigger t on entries, which changes what older code writes',
    'adds the trigger t',
    '',
  ],
  [
    'CREATE TRIGGER t',
    'adds the trigger t on ?, which changes what older code writes',
    'adds the trigger t',
    '',
  ],
  ['DROP VIEW IF EXISTS v', 'drops v, which older code may rely on', '', ''],
  ['DROP TRIGGER IF EXISTS t', 'drops t, which older code may rely on', '', ''],
  ['ALTER TABLE IF EXISTS ONLY entries ADD COLUMN IF NOT EXISTS place TEXT', '', 'adds entries.place', ''],
  [
    'ALTER TABLE entries DROP COLUMN IF EXISTS mood',
    'drops entries.mood, which older code may read',
    '',
    'drops entries.mood with its values',
  ],
  ['DELETE FROM ONLY entries', '', '', 'deletes rows of entries'],
  ['TRUNCATE TABLE entries', '', '', 'empties entries'],
  // A table that is made, filled and put in the place of another is a rebuild, and nothing else is told of either.
  [
    'DROP TABLE moods; ALTER TABLE users ADD x INT; CREATE TABLE fresh (id); DROP TABLE entries; ALTER TABLE fresh RENAME TO entries',
    'drops the table moods, which older code may read; rebuilds entries, whose columns and rules older code may not know',
    'adds users.x; rebuilds entries',
    'drops the table moods with its rows; rebuilds entries from its rows',
  ],
  [
    'CREATE TABLE fresh (id); ALTER TABLE FRESH RENAME TO Notes; DELETE FROM notes',
    '',
    'adds the table fresh',
    '',
  ],
  [
    'CREATE TABLE m (x); ALTER TABLE m RENAME TO n; DELETE FROM m',
    '',
    'adds the table m',
    'deletes rows of m',
  ],
  [
    'ALTER TABLE entries RENAME mood TO feeling',
    'renames entries.mood, which older code may read',
    'renames entries.mood to feeling',
    '',
  ],
  [
    'ALTER TABLE entries RENAME COLUMN mood TO feeling',
    'renames entries.mood, which older code may read',
    'renames entries.mood to feeling',
    '',
  ],
  [
    'ALTER TABLE entries RENAME TO notes',
    'renames the table entries, which older code may read',
    'renames entries to notes',
    '',
  ],
  // Older code fills no column that it does not know.
  ['ALTER TABLE entries ADD place TEXT NULL', '', 'adds entries.place', ''],
  ['ALTER TABLE entries ADD place TEXT NOT DEFERRABLE', '', 'adds entries.place', ''],
  ['ALTER TABLE entries ADD place TEXT DEFAULT (NOT NULL)', '', 'adds entries.place', ''],
  ['ALTER TABLE entries ADD n INT NOT NULL DEFAULT 0', '', 'adds entries.n', ''],
  ['ALTER TABLE entries ADD n INT NOT NULL GENERATED BY DEFAULT', '', 'adds entries.n', ''],
  ['ALTER TABLE entries ADD n INT NOT NULL GENERATED', '', 'adds entries.n', ''],
  ['ALTER TABLE entries ADD n INT NOT NULL AS (1)', '', 'adds entries.n', ''],
  [
    'ALTER TABLE entries ADD n INT NOT NULL',
    'adds entries.n NOT NULL without a default, which older code does not fill',
    'adds entries.n',
    '',
  ],
  ...(['CHECK (n > 1)', 'UNIQUE', 'PRIMARY KEY'] as const).map(
    (rule) =>
      [
        `ALTER TABLE entries ADD n INT ${rule}`,
        'adds entries.n with a rule that older code does not know',
        'adds entries.n',
        '',
      ] as const,
  ),
  ...(
    [
      'CONSTRAINT c CHECK (n > 1)',
      'CHECK (n > 1)',
      'UNIQUE (n)',
      'FOREIGN KEY (n) REFERENCES m',
      'PRIMARY KEY (n)',
    ] as const
  ).map(
    (rule) =>
      [
        `ALTER TABLE entries ADD ${rule}`,
        'adds a rule to entries, which older code need not heed',
        'adds a rule to entries',
        '',
      ] as const,
  ),
  // Only columns that are set are rewritten.
  [
    'UPDATE main.entries AS e SET body = 1, mood = coalesce(a, b) FROM x, y WHERE z = 1',
    '',
    '',
    'rewrites entries.body, entries.mood',
  ],
  ['UPDATE entries SET body = 1 WHERE a = 1 LIMIT 1, 2', '', '', 'rewrites entries.body'],
  ['UPDATE entries SET body = 1 RETURNING id, body', '', '', 'rewrites entries.body'],
  ['UPDATE entries SET body = 1 ORDER BY id, body', '', '', 'rewrites entries.body'],
  ['UPDATE entries SET (a, b) = (1, 2)', '', '', 'rewrites entries.?'],
  ['UPDATE entries SET 7 = 1', '', '', 'rewrites entries.?'],
  ['ALTER TABLE entries ADD n INT; UPDATE ENTRIES SET N = 1', '', 'adds entries.n', ''],
  [
    'ALTER TABLE entries ADD n INT; UPDATE entries SET n = 1, body = 2',
    '',
    'adds entries.n',
    'rewrites entries.n, entries.body',
  ],
  [
    'ALTER TABLE entries ADD n INT; UPDATE OR REPLACE entries SET n = 1',
    '',
    'adds entries.n',
    'rewrites entries.n',
  ],
  // A row that is put in may take the place of another.
  ['REPLACE INTO entries VALUES (1)', '', '', 'overwrites rows of entries'],
  ['INSERT OR replace INTO entries VALUES (1)', '', '', 'overwrites rows of entries'],
  [
    'INSERT INTO entries VALUES (1) ON CONFLICT (id) DO UPDATE SET body = 2',
    '',
    '',
    'overwrites rows of entries',
  ],
  ['INSERT INTO entries VALUES (1) ON CONFLICT DO NOTHING', '', '', ''],
  ['INSERT INTO entries VALUES ((SELECT 1))', '', '', ''],
  ['INSERT INTO entries SELECT 1', '', '', 'fills entries from other rows'],
  ['WITH x AS (DELETE FROM a) SELECT 1', '', '', ''],
  ...(
    [
      ['CREATE ROLE reader', 'CREATE ROLE reader'],
      ['DROP SCHEMA s CASCADE', 'DROP SCHEMA s CASCADE'],
      ['ALTER SEQUENCE s RESTART', 'ALTER SEQUENCE s RESTART'],
      ['GRANT ALL TO everybody', 'GRANT ALL TO'],
      ['ALTER TABLE entries DROP CONSTRAINT c', 'ALTER TABLE entries CONSTRAINT c'],
    ] as const
  ).map(([up, start]) => {
    const what = `has a statement whose effect is not known (${start} …)`;
    return [up, what, what, what] as const;
  }),
  [
    'DROP TABLE a; DROP TABLE b; DROP TABLE c',
    ['a', 'b', 'c'].map((table) => `drops the table ${table}, which older code may read`).join('; '),
    '',
    ['a', 'b', 'c'].map((table) => `drops the table ${table} with its rows`).join('; '),
  ],
  [
    'DROP TABLE a; DROP TABLE b; DROP TABLE c; DROP TABLE d; DROP TABLE e',
    `${['a', 'b', 'c'].map((table) => `drops the table ${table}, which older code may read`).join('; ')}; and 2 more`,
    '',
    `${['a', 'b', 'c'].map((table) => `drops the table ${table} with its rows`).join('; ')}; and 2 more`,
  ],
];

for (const [up, old, newer, rows] of said) {
  test(`what is said of: ${up}`, () => {
    const { oldCodeRuns, newCodeRuns, changesRows } = classify(up);
    const needed = newer.split('; ').map((clause) => `${clause}, which newer code may need`);
    assert.deepEqual(
      [oldCodeRuns, newCodeRuns, { holds: changesRows.holds, reason: changesRows.reason }],
      [
        { holds: old === '', reason: `0018_moods ${old || 'only adds what older code does not use'}` },
        {
          holds: newer === '',
          reason: `0018_moods ${newer === '' ? 'adds nothing that newer code could need' : needed.join('; ')}`,
        },
        { holds: rows !== '', reason: `0018_moods ${rows || 'changes no rows that were there'}` },
      ],
    );
  });
}

test('the spelling of a name makes no other table of it', () => {
  const rebuilt = classify(
    'DROP TABLE Entries; CREATE TABLE fresh (id); ALTER TABLE fresh RENAME TO entries; DELETE FROM entries',
  );
  assert.match(rebuilt.oldCodeRuns.reason, /rebuilds entries/);
});

test("a reason says that it is the author's word", () => {
  const comment = '-- unship: old-code-breaks, new-code-runs rows-unchanged';
  assert.deepEqual(classify('DROP TABLE entries; CREATE TABLE moods (id)', comment), {
    oldCodeRuns: { holds: false, reason: '0018_moods declares that older code breaks' },
    newCodeRuns: { holds: true, reason: '0018_moods declares that newer code runs' },
    changesRows: { holds: false, tables: [], reason: '0018_moods declares that rows are unchanged' },
  });
});
