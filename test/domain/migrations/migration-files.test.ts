import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { readDatabaseArtifact } from '../../../src/domain/facts.ts';
import {
  compareVersions,
  detectFormat,
  fileOf,
  isMigrationFile,
  parseMigrations,
} from '../../../src/domain/migrations/migration-files.ts';

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

test('dbmate: everything that a file says, each statement on its line of the file', () => {
  const text = '-- about moods\n-- migrate:up\nSELECT 1;\n-- migrate:down transaction:false\nSELECT 2;\n';
  assert.deepEqual(parseMigrations([{ name: '0002_moods.sql.sql', text }]), [
    {
      version: '0002',
      name: '0002_moods.sql',
      format: 'dbmate',
      up: '\n\nSELECT 1;\n',
      down: '\n\n\n\nSELECT 2;\n',
      outsideTransaction: { up: false, down: true },
      declared: new Set(),
      source: text,
    },
  ]);
  const [upOnly] = parseMigrations([{ name: '1_a.sql', text: '-- migrate:up\nSELECT 1;\n' }]);
  assert.equal(upOnly?.down, null);
});

test('up-down: everything that two files say', () => {
  const files = [
    { name: '1_a.up.sql', text: '-- unship: restore-only\nSELECT 1;' },
    { name: '1_a.down.sql', text: '-- unship: rows-unchanged\nSELECT 2;' },
  ];
  const [up, down] = files.map(({ text }) => text);
  assert.deepEqual(parseMigrations(files), [
    {
      version: '1',
      name: '1_a',
      format: 'up-down',
      up,
      down,
      outsideTransaction: { up: false, down: false },
      declared: new Set(['restore-only', 'rows-unchanged']),
      source: `${up}\n${down}`,
    },
  ]);
});

test('a declaration stands alone on its line, wherever it begins and however its words are parted', () => {
  const declared = (comment: string): readonly string[] => {
    const text = `-- migrate:up\n${comment}\n`;
    return parseMigrations([{ name: '1_a.sql', text }]).flatMap((migration) => [...migration.declared]);
  };
  assert.deepEqual(declared(' \t--  unship:restore-only ,  rows-unchanged '), [
    'restore-only',
    'rows-unchanged',
  ]);
  assert.deepEqual(declared('SELECT 1; -- unship: restore-only'), []);
  assert.deepEqual(declared('SELECT-- unship: restore-only'), []);
});

test('what is wrong is said with the file, and with what would be right where that is known', () => {
  const refused = (name: string, text: string): unknown => {
    try {
      return parseMigrations([{ name, text }]);
    } catch (error) {
      return isUnshipError(error) ? { ...error.details } : error;
    }
  };
  assert.deepEqual(refused('1_a.sql', '-- unship: keep\n-- migrate:up\n'), {
    happened: '1_a.sql: `-- unship: keep` is not known',
    done: 'nothing was changed',
    next: 'use one of: old-code-runs, old-code-breaks, new-code-runs, new-code-breaks, restore-only, rows-unchanged',
  });
  assert.deepEqual(refused('1_a.sql', '-- migrate:up\n-- migrate:down\n-- migrate:down\n'), {
    happened: '1_a.sql: it has more than one block of a direction',
    done: 'nothing was changed',
  });
  assert.deepEqual(refused('1_a.down.sql', ''), {
    happened: '1_a.down.sql: its 1_a.up.sql is missing',
    done: 'nothing was changed',
  });
  const long = '1'.repeat(41);
  assert.deepEqual(refused(`${long}.up.sql`, ''), {
    happened: `${long}.up.sql: its name does not begin with a version`,
    done: 'nothing was changed',
  });
});

test('files of another name are no migrations, and one pair makes a folder one of pairs', () => {
  const names = ['1.sql', '2_a.up.sql', '1.sql.bak', 'v1.sql', '1.txt'];
  assert.deepEqual(names.filter(isMigrationFile), ['1.sql', '2_a.up.sql']);
  const files = names.map((name) => ({ name, text: '' }));
  assert.deepEqual([detectFormat(files), detectFormat(files.slice(0, 1))], ['up-down', 'dbmate']);
  assert.deepEqual(
    parseMigrations(files).map(({ name }) => name),
    ['2_a'],
  );
});

test('versions of which one is no number stand in the order of their text', () => {
  const pairs = [
    ['9', '10b'],
    ['9', 'b10'],
    ['9b', '10'],
    ['b9', '10'],
  ] as const;
  assert.deepEqual(
    pairs.map(([a, b]) => [compareVersions(a, b), compareVersions(b, a)]),
    [
      [1, -1],
      [-1, 1],
      [1, -1],
      [1, -1],
    ],
  );
});
