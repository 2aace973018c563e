import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { readDatabaseArtifact } from '../../../src/domain/facts.ts';
import { compareVersions, fileOf, parseMigrations } from '../../../src/domain/migrations/migration-files.ts';

const invalid = (about: RegExp) => (error: unknown) =>
  isUnshipError(error) && error.slug === 'migration-invalid' && about.test(error.message);

test('dbmate: both blocks of one file, with their options', () => {
  const [migration] = parseMigrations([
    {
      name: '0002_moods.sql',
      text: '-- unship: restore-only, rows-unchanged\n-- migrate:up transaction:false\nSELECT 1;\n-- migrate:down\nSELECT 2;\n',
    },
    { name: 'README.md', text: 'not one' },
  ]);
  assert.equal(migration?.version, '0002');
  assert.equal(migration?.name, '0002_moods');
  assert.equal(migration?.up.trim(), 'SELECT 1;');
  assert.equal(migration?.down?.trim(), 'SELECT 2;');
  assert.deepEqual(migration?.outsideTransaction, { up: true, down: false });
  assert.deepEqual([...(migration?.declared ?? [])], ['restore-only', 'rows-unchanged']);
});

test('dbmate: a down without a statement is none', () => {
  const [migration] = parseMigrations([
    { name: '1_a.sql', text: '-- migrate:up\r\nSELECT 1;\r\n-- migrate:down\r\n-- nothing yet\r\n' },
  ]);
  assert.equal(migration?.down, null);
  assert.equal(migration?.up.trim(), 'SELECT 1;');
});

test('dbmate: what dbmate refuses is refused, with the file named', () => {
  const parse = (text: string): unknown => parseMigrations([{ name: '1_a.sql', text }]);
  assert.throws(() => parse('SELECT 1;'), invalid(/1_a\.sql: it has no line `-- migrate:up`/));
  assert.throws(() => parse('SELECT 1;\n-- migrate:up\n'), invalid(/before/));
  assert.throws(() => parse('-- migrate:down\n-- migrate:up\n'), invalid(/stands before/));
  assert.throws(() => parse('-- migrate:up\n-- migrate:up\n'), invalid(/more than one/));
  assert.throws(() => parse('-- unship: keep\n-- migrate:up\n'), invalid(/`-- unship: keep` is not known/));
});

test('up-down: pairs by name, told by the files, sorted by number', () => {
  const migrations = parseMigrations([
    { name: '10_b.up.sql', text: 'SELECT 10;' },
    { name: '9_a.down.sql', text: 'SELECT -9;' },
    { name: '9_a.up.sql', text: 'SELECT 9;' },
  ]);
  assert.deepEqual(
    migrations.map(({ version, name, down }) => [version, name, down]),
    [
      ['9', '9_a', 'SELECT -9;'],
      ['10', '10_b', null],
    ],
  );
  assert.throws(
    () => parseMigrations([{ name: '1_a.down.sql', text: '' }]),
    invalid(/1_a\.up\.sql is missing/),
  );
});

test('two files of one version are refused', () => {
  const text = '-- migrate:up\n';
  const files = [
    { name: '007_a.sql', text },
    { name: '7_b.sql', text },
  ];
  assert.throws(() => parseMigrations(files), invalid(/same version as 007_a/));
});

test('property: any text parses or is refused by name, and the order of versions is total', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (first, second) => {
      try {
        parseMigrations([
          { name: '1.sql', text: first },
          { name: '2.up.sql', text: second },
        ]);
      } catch (error) {
        assert.ok(isUnshipError(error));
      }
    }),
  );
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n }), fc.bigInt({ min: 0n, max: 10n ** 30n }), (a, b) => {
      const order = compareVersions(String(a), String(b));
      assert.equal(Math.sign(order), a < b ? -1 : a > b ? 1 : 0);
    }),
  );
});

test('an artifact is read, and nonsense is none', () => {
  assert.deepEqual(readDatabaseArtifact({ applied: ['1'], fingerprint: 'f' }), {
    applied: ['1'],
    fingerprint: 'f',
  });
  for (const nonsense of [null, 3, 'x', [], {}, { applied: [1], fingerprint: 'f' }, { applied: ['1'] }]) {
    assert.equal(readDatabaseArtifact(nonsense), null);
  }
});

test('a version of more digits than any tool writes is none, in either format', () => {
  const version = '1'.repeat(41);
  for (const name of [`${version}_a.sql`, `${version}_a.up.sql`]) {
    const text = '-- migrate:up\nSELECT 1;\n';
    assert.throws(() => parseMigrations([{ name, text }]), invalid(/does not begin with a version/), name);
  }
});

test('a declaration without a word declares nothing', () => {
  const [migration] = parseMigrations([{ name: '1_a.sql', text: '-- unship:\n-- migrate:up\nSELECT 1;\n' }]);
  assert.deepEqual([...(migration?.declared ?? ['not read'])], []);
});

test('versions of equal value, or without one, stand in the order of their text', () => {
  const orders = [compareVersions('01', '1'), compareVersions('b', 'a'), compareVersions('a', 'b')];
  assert.deepEqual([...orders, compareVersions('a', 'a')], [-1, 1, -1, 0]);
});

test('errors name the file that holds the direction', () => {
  assert.equal(fileOf({ name: '0001_a', format: 'dbmate' }, 'down'), '0001_a.sql');
  assert.equal(fileOf({ name: '0001_a', format: 'up-down' }, 'down'), '0001_a.down.sql');
});

test('a NUL would end a migration early, so it is refused', () => {
  const text = '-- migrate:up\nselect 1;\0 select 2;\n-- migrate:down\n';
  assert.throws(
    () => parseMigrations([{ name: '0001_a.sql', text }]),
    (error) => isUnshipError(error) && error.slug === 'migration-invalid',
  );
});
