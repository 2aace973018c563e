import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { problemsOf } from '../../src/config/schema.ts';
import { openStateFolder } from '../../src/config/state-folder.ts';
import { isMigrationFile, parseMigrations } from '../../src/domain/migrations/migration-files.ts';
import { isSafeName } from '../../src/domain/names.ts';
import type { ReleaseId } from '../../src/domain/release.ts';
import { isManifest } from '../../src/providers/feed/manifest.ts';
import { Staging } from '../../src/providers/feed/staging.ts';
import { parseFeed } from '../../src/providers/feed/yml.ts';
import { insideRepository, stagedName } from '../../src/providers/server/layout.ts';
import { Archives } from '../../src/providers/sqlite/archive.ts';
import { backupFile } from '../../src/providers/sqlite/backup-record.ts';
import type { Core } from '../../src/providers/sqlite/core.ts';

const count = 100_000;
const folder = '/srv/state';
const commit = '0123456'.padEnd(40, '0');
const sha512 = `${'A'.repeat(86)}==`;

/** What leaves folders, hides, ends names early or means a device somewhere; and what names are made of. */
const pieces = [
  ...[
    '..',
    '.',
    '/',
    '\\',
    '\0',
    '\n',
    '\r',
    '%2e',
    '%2f',
    '%5c',
    '%00',
    '~',
    ':',
    '*',
    '?',
    '"',
    '<',
    '>',
    '|',
    '$',
  ],
  ...[
    '../',
    '..\\',
    '/etc/passwd',
    'C:',
    '//host/share',
    'file:///',
    '-rf',
    '--',
    ' ',
    '\u202e',
    '\uff0f',
    '\u2215',
  ],
  ...[
    'con',
    'NUL',
    'aux',
    'com1',
    'lpt9',
    '__proto__',
    'constructor',
    'r1',
    'r41',
    '0123456',
    '1.2.3',
    'latest.yml',
  ],
  ...[
    'a',
    'B',
    '7',
    '_',
    '-',
    '+',
    'name',
    '.sql',
    '.db',
    '.json',
    '.yml',
    'a'.repeat(99),
    'é',
    '😀',
    '\ud800',
  ],
];

/** The same names every time: mulberry32. */
function* names(seed: number): Generator<string> {
  let state = seed;
  const random = (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
  for (;;) {
    yield Array.from({ length: 1 + random(5) }, () => pieces[random(pieces.length)]).join('');
  }
}

/** The path that a name becomes in some place; refused by an error, or null. */
type Place = (name: string) => string | null;

const core = { folder } as Core;
const archives = new Archives(folder);
const archived = { release: 'r1', version: '1', direction: 'up', attempt: 'a1' } as const;
const staging = new Staging(folder);
const feeds = {};
const file = { size: 1, sha512 };

const places: Readonly<Record<string, { readonly within: string; readonly path: Place }>> = {
  'release of a build': {
    within: folder,
    path: (name) => join(folder, stagedName({ release: name as ReleaseId, commit, artifact: null })),
  },
  'folder that a build is recorded under': {
    within: folder,
    path: (name) => join(folder, stagedName({ release: 'r1', commit, artifact: { folder: name } })),
  },
  backup: { within: join(folder, 'backups'), path: (name) => backupFile(core, name) },
  'archive by release': {
    within: folder,
    path: (name) => archives.path({ ...archived, release: name as ReleaseId }),
  },
  'archive by migration': { within: folder, path: (name) => archives.path({ ...archived, version: name }) },
  'artifact of a manifest': {
    within: folder,
    path: (name) =>
      isManifest({ version: '1.0.0', commit, feeds, files: [{ ...file, name }] }) ? join(folder, name) : null,
  },
  'version of a manifest': {
    within: folder,
    path: (name) => (isManifest({ version: name, commit, feeds, files: [] }) ? staging.path(name) : null),
  },
  'surface of a configuration': {
    within: folder,
    path: (name) => {
      const web = { provider: 'server', kind: 'web', options: { switch: { gateway: { port: 80 } } } };
      const definition = { name: 'vault', environments: { production: { surfaces: { [name]: web } } } };
      return problemsOf(definition).length === 0 ? join(folder, name) : null;
    },
  },
  'version that is staged': { within: folder, path: (name) => staging.path(name) },
};

for (const [place, { within, path }] of Object.entries(places)) {
  test(`control 26: 100,000 fuzzed names stay in the folder: ${place}`, () => {
    const source = names(26);
    let accepted = 0;
    for (let index = 0; index < count; index += 1) {
      const name = source.next().value as string;
      const made = refusedIsNull(path, name);
      if (made === null) continue;
      accepted += 1;
      assert.equal(dirname(resolve(made)), within, JSON.stringify(name));
      assert.equal(resolve(made), made, JSON.stringify(name));
      assert.ok(!/[\p{Cc}\\]/u.test(made) && made.length < 250, JSON.stringify(name));
      assert.ok(!/\/(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i.test(made), JSON.stringify(name));
    }
    assert.ok(accepted > 10, `${accepted} were taken: the test has something to judge`);
  });
}

function refusedIsNull(path: Place, name: string): string | null {
  try {
    return path(name);
  } catch {
    return null;
  }
}

test('control 26: 100,000 fuzzed names of applications and environments make folders in their place alone', (context) => {
  const top = mkdtempSync(join(tmpdir(), 'unship-names-'));
  context.after(() => rmSync(top, { recursive: true, force: true }));
  const base = join(top, 'state');
  mkdirSync(base, { mode: 0o700 });
  const owner = { uid: process.getuid?.(), home: '/home/ada' };
  const source = names(27);
  const expected = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const name = source.next().value as string;
    // What is made once is made.
    if (expected.has(name)) continue;
    const [application, environment] = index % 2 === 0 ? [name, 'production'] : ['vault', name];
    try {
      openStateFolder(base, application, environment, owner);
      expected.add(application);
    } catch (error) {
      assert.match(String(error), /name-invalid/, JSON.stringify(name));
    }
  }
  assert.ok(expected.size > 100, `${expected.size}`);
  assert.deepEqual(readdirSync(top), ['state']);
  assert.deepEqual(readdirSync(base).sort(), [...expected].sort());
  for (const name of readdirSync(base)) assert.ok(isSafeName(name), name);
});

test('control 26: 100,000 fuzzed names of migrations give versions of digits alone, or are no migrations', () => {
  const source = names(28);
  let accepted = 0;
  for (let index = 0; index < count; index += 1) {
    const name = `${index % 3 === 0 ? '' : index}${source.next().value as string}${index % 2 === 0 ? '' : '.sql'}`;
    if (!isMigrationFile(name)) continue;
    try {
      for (const { version } of parseMigrations([{ name, text: '-- migrate:up\nselect 1;\n' }])) {
        accepted += 1;
        assert.match(version, /^\d{1,40}$/, JSON.stringify(name));
      }
    } catch (error) {
      assert.match(String(error), /migration-invalid/, JSON.stringify(name));
    }
  }
  assert.ok(accepted > 1000, `${accepted}`);
});

test('control 26: 100,000 fuzzed roots of a surface stay in the repository', () => {
  const source = names(29);
  for (let index = 0; index < count; index += 1) {
    const name = source.next().value as string;
    const made = refusedIsNull(insideRepository, name);
    if (made === null) continue;
    const place = resolve('/repository', made);
    assert.ok(place === '/repository' || place.startsWith('/repository/'), JSON.stringify(name));
  }
});

test('control 26: names in a feed mean files beside it, however they are encoded', async () => {
  const source = names(30);
  for (let index = 0; index < 2000; index += 1) {
    const url = JSON.stringify(source.next().value);
    const text = `version: 1.0.0\nfiles:\n  - url: ${url}\n    sha512: ${sha512}\n    size: 1\npath: ${url}\nsha512: ${sha512}\nreleaseDate: '2026-01-01'\n`;
    const read = await parseFeed(text).catch(() => null);
    for (const { url: name } of read?.files ?? []) assert.ok(isSafeName(name), url);
  }
});
