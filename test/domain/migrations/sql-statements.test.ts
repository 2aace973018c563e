import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  controlsTransaction,
  identifier,
  normalizeSql,
  splitStatements,
  tokenize,
} from '../../../src/domain/migrations/sql-statements.ts';

const texts = (sql: string): readonly string[] => splitStatements(sql).map((statement) => statement.text);

test('semicolons in strings, quoted names and comments do not end a statement', () => {
  assert.deepEqual(
    texts(`SELECT 'a;''b'; SELECT "x;y", \`p;q\`, [r;s] -- no; end\n; /* ; */ SELECT 1 /* open ;`),
    [`SELECT 'a;''b'`, 'SELECT "x;y", `p;q`, [r;s]', 'SELECT 1'],
  );
  assert.deepEqual(texts(' ;; -- nothing\n /* at all */ ; '), []);
  assert.deepEqual(texts('SELECT $$a;b$$, $1; SELECT $t$ ; $$ ; $t$'), [
    'SELECT $$a;b$$, $1',
    'SELECT $t$ ; $$ ; $t$',
  ]);
  assert.deepEqual(texts("SELECT 'open; SELECT 2"), ["SELECT 'open; SELECT 2"]);
});

test('a trigger is one statement, CASE … END inside it included', () => {
  const trigger = `CREATE TEMP TRIGGER t AFTER UPDATE ON a BEGIN
    UPDATE a SET x = CASE WHEN x > 1 THEN 2 ELSE 3 END; SELECT 'END;'; END`;
  assert.deepEqual(texts(`${trigger}; SELECT 1;`), [trigger, 'SELECT 1']);
  assert.deepEqual(texts('CREATE TABLE "trigger" (x); BEGIN; COMMIT').length, 3);
});

test('every statement knows its line', () => {
  const lines = splitStatements('-- one\nSELECT 1;\n\nSELECT\n2; SELECT 3').map(
    (statement) => statement.line,
  );
  assert.deepEqual(lines, [2, 4, 5]);
});

test('names are read out of every kind of quotes', () => {
  const names = tokenize(`plain "a""b" \`c\`\`d\` [e f] 'g' 12`).map(identifier);
  assert.deepEqual(names, ['plain', 'a"b', 'c`d', 'e f', 'g', undefined]);
});

test('a bracket in brackets is itself, and a string between dollar signs is one, if it ends', () => {
  assert.deepEqual(
    tokenize('[a[[b] $$ x $$ $t$ y').map(({ kind, text }) => [kind, text]),
    [
      ['quoted', '[a[[b]'],
      ['string', '$$ x $$'],
      ['symbol', '$'],
      ['name', 't$'],
      ['name', 'y'],
    ],
  );
  assert.deepEqual(tokenize('[a[[b]').map(identifier), ['a[[b']);
});

test('only what makes a trigger has semicolons inside', () => {
  for (const start of ['CREATE', 'CREATE TEMP', 'create temporary']) {
    assert.equal(texts(`${start} TRIGGER t BEGIN SELECT 1; END; SELECT 2`).length, 2, start);
    assert.equal(texts(`${start} TABLE trigger; SELECT 1; SELECT 2`).length, 3, start);
  }
  for (const start of ['DROP TRIGGER t', 'CREATE UNIQUE trigger', 'CREATE "TRIGGER" t']) {
    assert.equal(texts(`${start}; SELECT 1; SELECT 2`).length, 3, start);
  }
  assert.equal(texts('CREATE TRIGGER t BEGIN SELECT "END"; SELECT 1; END; SELECT 2').length, 2);
  assert.equal(texts("SELECT ';' ; SELECT 2").length, 2);
});

test('normal form ignores spelling, not meaning', () => {
  const normal = (sql: string): string => normalizeSql(tokenize(sql));
  assert.equal(normal('create  INDEX "i" on [T] (A) -- x'), normal('CREATE INDEX i\nON t(a)'));
  assert.notEqual(normal("SELECT 'A'"), normal("SELECT 'a'"));
});

test('transaction control is recognised, and only that', () => {
  const found = splitStatements('BEGIN; end; SAVEPOINT a; "begin"; UPDATE t SET commit = 1').map(
    controlsTransaction,
  );
  assert.deepEqual(found, [true, true, true, false, false]);
});

test('property: statements of any text split where SQLite itself splits them', () => {
  const name = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => !text.includes('\0'));
  const piece = fc.oneof(
    name.map((text) => `'${text.replaceAll("'", "''")}'`),
    name.map((text) => `1 AS "${text.replaceAll('"', '""')}"`),
    name.filter((text) => !text.includes('*/')).map((text) => `/*${text.replaceAll('*', '')}*/ 2`),
    name.map((text) => `3 --${text.replaceAll(/[\n\r]/g, '')}\n`),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => String(number)),
  );
  const statement = fc
    .array(piece, { minLength: 1, maxLength: 4 })
    .map((parts) => `SELECT ${parts.join(', ')}`);
  fc.assert(
    fc.property(fc.array(statement, { minLength: 1, maxLength: 5 }), (statements) => {
      const found = splitStatements(statements.join(';\n'));
      assert.equal(found.length, statements.length);
      using database = new DatabaseSync(':memory:');
      for (const { text } of found) database.prepare(text);
    }),
    { numRuns: 300 },
  );
});
