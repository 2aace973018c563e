import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schemaDifference } from '../../../src/domain/schema-difference.ts';
import { contextOf, makeWorld } from './world.ts';

/** What is told about the difference that `change` makes to a schema. */
async function difference(setup: string, change: string): Promise<string | null> {
  await using world = await makeWorld();
  const look = async () => {
    const query = { releases: [], countRisk: false, describeSchema: true };
    const facts = await world.port.observe(contextOf('look'), query);
    return { fingerprint: facts.fingerprint, parts: facts.measurements.schema ?? {} };
  };
  world.application.exec(setup);
  const before = await look();
  world.application.exec(change);
  const after = await look();
  const told = schemaDifference(before.parts, after.parts);
  assert.equal(
    told === null,
    before.fingerprint === after.fingerprint,
    'told exactly where fingerprints differ',
  );
  return told;
}

const table = `CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', price TEXT);
  CREATE INDEX by_name ON items (name)`;
const again = (columns: string): string =>
  `DROP TABLE items; CREATE TABLE items (${columns}); CREATE INDEX by_name ON items (name)`;

test('a person is told in which columns, defaults and other parts two schemas differ', async () => {
  const { raw } = String;
  const cases: readonly (readonly [change: string, told: string | null])[] = [
    ['INSERT INTO items (price) VALUES (1)', null],
    ['ALTER TABLE items DROP COLUMN price', 'items.price (TEXT) is missing'],
    ['ALTER TABLE items ADD COLUMN cents INT', 'items.cents (INT) was not there before'],
    [
      again('id INTEGER PRIMARY KEY, name TEXT, price REAL'),
      raw`items.name is TEXT, was TEXT NOT NULL DEFAULT 'x'; items.price is REAL, was TEXT`,
    ],
    [again(`id INTEGER PRIMARY KEY, price TEXT, name TEXT DEFAULT 'x' NOT NULL`), null],
    ['DROP INDEX by_name', 'items index by_name (name) is missing'],
    [
      'DROP INDEX by_name; CREATE UNIQUE INDEX by_name ON items (name)',
      'items index by_name is UNIQUE (name), was (name)',
    ],
    ['DROP TABLE items', 'items is missing'],
    ['CREATE TABLE more (id INTEGER PRIMARY KEY, a, b)', 'more was not there before'],
  ];
  for (const [change, told] of cases) assert.equal(await difference(table, change), told, change);
});

test('keys, checks, references and views are told of, and a long list is cut', async () => {
  const full = `CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (a TEXT, p REFERENCES p (id), CHECK (a <> ''), UNIQUE (a));
    CREATE VIEW v AS SELECT a FROM t`;
  const bare = 'DROP VIEW v; DROP TABLE t; CREATE TABLE t (a TEXT, p)';
  const told = (await difference(full, bare)) ?? '';
  for (const about of [
    /rule CHECK/,
    /constraint UNIQUE \(a\)/,
    /reference from p to p \(id\) is missing/,
    /view v .+ is missing/,
  ]) {
    assert.match(told, about);
  }
  const many = Array.from({ length: 9 }, (_, at) => `ALTER TABLE t ADD COLUMN c${at}`).join(';');
  assert.match(
    (await difference('CREATE TABLE t (a)', many)) ?? '',
    /t\.c5 was not there before; and 3 more$/,
  );
});
