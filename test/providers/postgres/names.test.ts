import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { identifier, literal } from '../../../src/providers/postgres/connection.ts';
import { besides } from '../../../src/providers/postgres/names.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
});
after(async () => await cluster[Symbol.asyncDispose]());

const pieces = fc.constantFrom(
  '"',
  "'",
  '\\',
  ';',
  '--',
  '/*',
  '$$',
  '\n',
  'é',
  '😀',
  'a',
  'B',
  '%',
  '.',
  ' ',
  '\u0001',
);
const names = fc.array(pieces, { minLength: 1, maxLength: 15 }).map((all) => all.join(''));

test('control 23: the server reads every name and text as it was, whatever is in it', async () => {
  const client = await cluster.connect();
  const all = fc.sample(names, { numRuns: 10_000, seed: 23 }).filter((name) => Buffer.byteLength(name) < 64);
  assert.ok(all.length > 9000);
  try {
    for (let from = 0; from < all.length; from += 500) {
      const part = all.slice(from, from + 500);
      for (const conforming of ['on', 'off']) {
        await client.query(
          `SET standard_conforming_strings = ${conforming}; SET escape_string_warning = off`,
        );
        const { fields, rows } = await client.query({
          text: `SELECT ${part.map((name) => `${literal(name)} AS ${identifier(name)}`).join(', ')}`,
          rowMode: 'array',
        });
        assert.deepEqual(
          fields.map((field) => field.name),
          part,
        );
        assert.deepEqual(rows[0], part);
      }
    }
  } finally {
    await client.end();
  }
  for (const quote of [identifier, literal])
    assert.throws(
      () => quote('a\0b'),
      (error) => isUnshipError(error) && error.slug === 'name-invalid',
    );
});

test('a database beside another has a name that the server does not cut, and that no other has', () => {
  const long = 'x'.repeat(62);
  const all = ['a', long, `${long}y`, 'é'.repeat(31)].flatMap((live) =>
    ['restore', 'kept_0123abcd'].map((purpose) => besides(live, purpose)),
  );
  assert.ok(all.every((name) => Buffer.byteLength(name) <= 63));
  assert.equal(new Set(all).size, all.length);
});
