import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUnshipError } from '../domain/errors.ts';
import type { DatabaseFacts } from '../domain/facts.ts';
import type { ReleaseId } from '../domain/release.ts';
import type { DatabasePort } from '../surfaces/database/database.port.ts';
import type { WorkContext } from '../surfaces/surface.port.ts';

/** A row as a client of the database reads it: texts, numbers and null only. */
export type ContractRow = { readonly [column: string]: string | number | null };

/** One database with a provider on it, as a test owns it. */
export interface DatabaseWorld extends AsyncDisposable {
  readonly port: DatabasePort;
  /** Writes these files into the migrations folder and commits: its full hash. */
  commit(files: { readonly [name: string]: string }): string;
  /** A context of a run; equal keys are attempts at the same step. */
  context(key: string, overrides?: Partial<WorkContext>): WorkContext;
  /** What the application does: plain SQL that SQLite and PostgreSQL both understand, in its own connection. */
  write(sql: string): Promise<void>;
  read(sql: string): Promise<readonly ContractRow[]>;
  /** A private folder. */
  readonly folder: string;
}

const entries = `-- migrate:up
CREATE TABLE entries (id integer PRIMARY KEY, body text NOT NULL, mood text);

-- migrate:down
DROP TABLE entries;
`;
const lower = `-- migrate:up
ALTER TABLE entries ADD COLUMN words integer;
UPDATE entries SET words = length(body);
UPDATE entries SET body = lower(body);
ALTER TABLE entries DROP COLUMN mood;

-- migrate:down
ALTER TABLE entries ADD COLUMN mood text;
ALTER TABLE entries DROP COLUMN words;
`;
const broken = `-- migrate:up
CREATE TABLE half (id integer PRIMARY KEY);
INSERT INTO half VALUES (1);
UPDATE entries SET body = 'gone' WHERE no_such_column = 1;

-- migrate:down
DROP TABLE half;
`;

const good: ReleaseId = 'r1';
const bad: ReleaseId = 'r2';
const isSlug = (slug: string) => (error: unknown) => isUnshipError(error) && error.slug === slug;

interface Prepared {
  readonly commit: string;
  readonly backup: string;
  readonly before: DatabaseFacts;
}

const query = { releases: [], countRisk: false } as const;

/** r1 is live with two entries; a backup for r2 is taken, and the bad migration is committed but not applied. */
async function prepare(world: DatabaseWorld): Promise<Prepared> {
  const { port } = world;
  const first = world.commit({ '0001_entries.sql': entries });
  await port.migrateUp(world.context('up-1'), { release: good, commit: first, versions: ['0001'] });
  await world.write(`INSERT INTO entries (id, body, mood) VALUES (1, 'One', 'calm'), (2, 'Two', NULL)`);
  const commit = world.commit({ '0001_entries.sql': entries, '0002_lower.sql': lower });
  const backup = await port.backup(world.context('backup'), bad);
  const before = await port.observe(world.context('look'), query);
  return { commit, backup: backup.id, before };
}

function up(world: DatabaseWorld, { commit }: Prepared, key = 'up-2'): Promise<{ fingerprint: string }> {
  return world.port.migrateUp(world.context(key), { release: bad, commit, versions: ['0002'] });
}

function down(world: DatabaseWorld, { commit }: Prepared, key = 'down-2') {
  return world.port.migrateDown(world.context(key), { release: bad, commit, versions: ['0002'] });
}

/** Every provider of a database surface must pass this. `make` gives an empty database for each test. */
export function databaseContract(name: string, make: () => Promise<DatabaseWorld>): void {
  const check = (title: string, body: (world: DatabaseWorld) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      await using world = await make();
      await body(world);
    });
  };

  check("a commit's migrations are pending until they are applied", async (world) => {
    const commit = world.commit({ '0001_entries.sql': entries });
    const before = await world.port.observe(world.context('a'), { ...query, commit });
    assert.deepEqual([before.applied, before.pending], [[], ['0001']]);
    await world.port.migrateUp(world.context('b'), { release: good, commit, versions: ['0001'] });
    const after = await world.port.observe(world.context('c'), { ...query, commit });
    assert.deepEqual([after.applied, after.pending], [['0001'], []]);
    assert.notEqual(after.fingerprint, before.fingerprint);
    await world.port.verifySchema(world.context('d'), { fingerprint: after.fingerprint, applied: ['0001'] });
    await assert.rejects(
      world.port.verifySchema(world.context('e'), { applied: [] }),
      isSlug('schema-mismatch'),
    );
  });

  check('facts tell what a migration does to older code and to rows', async (world) => {
    const prepared = await prepare(world);
    const facts = await world.port.observe(world.context('a'), { ...query, commit: prepared.commit });
    const migration = facts.migrations.find((candidate) => candidate.version === '0002');
    assert.equal(migration?.oldCodeRuns.holds, false);
    assert.match(migration?.oldCodeRuns.reason ?? '', /0002_lower drops entries\.mood/);
    assert.equal(migration?.changesRows.holds, true);
    assert.deepEqual(migration?.changesRows.tables, ['entries']);
    assert.equal(migration?.preImages, 'recorded');
  });

  check(
    'up and down give back rewritten and dropped values and keep what was written since',
    async (world) => {
      const prepared = await prepare(world);
      await up(world, prepared);
      assert.deepEqual(await world.read('SELECT body, words FROM entries ORDER BY id'), [
        { body: 'one', words: 3 },
        { body: 'two', words: 3 },
      ]);
      await world.write(`UPDATE entries SET body = 'Mine' WHERE id = 2`);
      await world.write(`INSERT INTO entries (id, body, words) VALUES (3, 'New', 9)`);
      const result = await down(world, prepared);
      assert.deepEqual(await world.read('SELECT id, body, mood FROM entries ORDER BY id'), [
        { id: 1, body: 'One', mood: 'calm' },
        { id: 2, body: 'Mine', mood: null },
        { id: 3, body: 'New', mood: null },
      ]);
      assert.equal(result.keptEdits, 1);
      assert.equal(result.archived, 3);
      assert.equal(result.fingerprint, prepared.before.fingerprint);
      assert.deepEqual(await down(world, prepared), result, 'a second call does nothing and says the same');
    },
  );

  check('going back up after a down brings back what the down had dropped', async (world) => {
    const prepared = await prepare(world);
    const { fingerprint } = await up(world, prepared);
    await world.write(`UPDATE entries SET words = 77 WHERE id = 1`);
    await down(world, prepared);
    await world.write(`INSERT INTO entries (id, body, mood) VALUES (4, 'Later', 'sad')`);
    assert.deepEqual(await up(world, prepared, 'undo'), { fingerprint });
    assert.deepEqual(await world.read('SELECT id, body, words FROM entries ORDER BY id'), [
      { id: 1, body: 'one', words: 77 },
      { id: 2, body: 'two', words: 3 },
      { id: 4, body: 'later', words: 5 },
    ]);
  });

  check('a migration that fails half-way leaves nothing', async (world) => {
    const prepared = await prepare(world);
    const commit = world.commit({ '0001_entries.sql': entries, '0002_broken.sql': broken });
    await assert.rejects(
      world.port.migrateUp(world.context('x'), { release: bad, commit, versions: ['0002'] }),
      isSlug('migration-failed'),
    );
    const after = await world.port.observe(world.context('look'), query);
    assert.deepEqual([after.fingerprint, after.applied], [prepared.before.fingerprint, ['0001']]);
    assert.deepEqual(await world.read('SELECT body FROM entries ORDER BY id'), [
      { body: 'One' },
      { body: 'Two' },
    ]);
  });

  check('a backup is one per key, verifies, and says what it holds', async (world) => {
    const prepared = await prepare(world);
    const again = await world.port.backup(world.context('backup'), bad);
    assert.equal(again.id, prepared.backup);
    assert.deepEqual([again.verified, again.applied], [true, ['0001']]);
    assert.equal(again.fingerprint, prepared.before.fingerprint);
    const other = await world.port.backup(world.context('another'), bad);
    assert.notEqual(other.id, prepared.backup);
    const facts = await world.port.observe(world.context('look'), query);
    assert.deepEqual(new Set(facts.backups.map((backup) => backup.id)), new Set([again.id, other.id]));
    await world.port.verifyBackup(world.context('v'), again.id);
    await assert.rejects(world.port.verifyBackup(world.context('w'), 'r9-nothing'), isSlug('backup-invalid'));
  });

  check("the rows a restore loses are counted exactly, without the migration's own", async (world) => {
    const prepared = await prepare(world);
    await up(world, prepared);
    const untouched = await world.port.countRestoreRisk(world.context('a'), prepared.backup);
    assert.deepEqual(
      untouched.tables.map((table) => [table.table, table.lost]),
      [['entries', 0]],
    );
    await world.write(`INSERT INTO entries (id, body) VALUES (3, 'New'), (4, 'New')`);
    await world.write(`UPDATE entries SET body = 'edited' WHERE id = 1`);
    const risk = await world.port.countRestoreRisk(world.context('b'), prepared.backup);
    assert.deepEqual(
      risk.tables.map((table) => [table.table, table.lost, risk.exact]),
      [['entries', 3, true]],
    );
    const target = {
      commit: prepared.commit,
      releases: [release(bad, ['0001', '0002']), release(good, ['0001'])],
    };
    const facts = await world.port.observe(world.context('c'), {
      releases: target.releases,
      countRisk: true,
    });
    assert.equal(facts.measurements.risk.restore?.tables[0]?.lost, 3);
    const [ofDown] = facts.measurements.risk['migrate-down']?.tables ?? [];
    assert.deepEqual([ofDown?.lost, ofDown?.editedSince, ofDown?.archived], [0, 1, 2]);
    assert.deepEqual(facts.measurements.risk['migrate-down']?.dropped, ['entries.words']);
  });

  check(
    'a restore is refused above the consent, and else puts the backup back and keeps the state before',
    async (world) => {
      const prepared = await prepare(world);
      await up(world, prepared);
      await world.write(`INSERT INTO entries (id, body) VALUES (3, 'New')`);
      const request = (maximumRowsLost: number) => ({ backup: prepared.backup, maximumRowsLost });
      await assert.rejects(
        world.port.restore(world.context('refused'), request(0)),
        isSlug('loss-exceeds-consent'),
      );
      assert.equal((await world.read('SELECT id FROM entries')).length, 3);
      assert.equal(await world.port.restored(world.context('refused'), prepared.backup), null);
      const result = await world.port.restore(world.context('restore'), request(1));
      assert.deepEqual(await world.port.restored(world.context('restore'), prepared.backup), result);
      assert.equal(await world.port.restored(world.context('another'), prepared.backup), null);
      assert.deepEqual([result.rowsLost, result.fingerprint], [1, prepared.before.fingerprint]);
      assert.deepEqual(await world.read('SELECT body, mood FROM entries ORDER BY id'), [
        { body: 'One', mood: 'calm' },
        { body: 'Two', mood: null },
      ]);
      await world.port.verifySchema(world.context('v'), {
        fingerprint: result.fingerprint,
        applied: ['0001'],
      });
      await world.write(`INSERT INTO entries (id, body) VALUES (9, 'After')`);
      assert.deepEqual(await world.port.restore(world.context('restore'), request(1)), result, 'done once');
      assert.equal((await world.read('SELECT id FROM entries')).length, 3);
      await world.port.restore(world.context('undo'), { backup: result.safetyBackup, maximumRowsLost: 1 });
      assert.deepEqual(await world.read('SELECT id, body FROM entries ORDER BY id'), [
        { id: 1, body: 'one' },
        { id: 2, body: 'two' },
        { id: 3, body: 'New' },
      ]);
      assert.equal(await world.port.restored(world.context('restore'), prepared.backup), null, 'taken back');
    },
  );

  check('work of an older holder is refused and changes nothing', async (world) => {
    const prepared = await prepare(world);
    await up(world, prepared);
    const old = world.context('old', { fence: 0 });
    const request = { release: bad, commit: prepared.commit, versions: ['0002'] };
    await assert.rejects(world.port.migrateDown(old, request), isSlug('fenced-out'));
    await assert.rejects(
      world.port.restore(old, { backup: prepared.backup, maximumRowsLost: 9 }),
      isSlug('fenced-out'),
    );
    const facts = await world.port.observe(world.context('look'), query);
    assert.deepEqual(facts.applied, ['0001', '0002']);
  });

  check('work that was sent before a higher fence was raised is refused', async (world) => {
    const prepared = await prepare(world);
    for (const _ of [1, 2]) await world.port.raiseFence(world.context('newer', { fence: 8 }));
    await assert.rejects(up(world, prepared), isSlug('fenced-out'));
    const older = world.port.raiseFence(world.context('older', { fence: 7 }));
    await assert.rejects(older, isSlug('fenced-out'));
    const facts = await world.port.observe(world.context('look'), query);
    assert.deepEqual(facts.applied, ['0001']);
  });

  check('the fence does not go back with the content of an old backup', async (world) => {
    const prepared = await prepare(world);
    const newer = world.context('newer', { fence: 8 });
    await world.port.restore(newer, { backup: prepared.backup, maximumRowsLost: 0 });
    await assert.rejects(up(world, prepared), isSlug('fenced-out'));
  });

  check('a rehearsal happens on a copy', async (world) => {
    const prepared = await prepare(world);
    const copy = await world.port.rehearsal(world.context('rehearse', { fence: 7 }), world.folder);
    await copy.port.migrateUp(world.context('on-copy', { fence: 7 }), {
      ...{ release: bad, commit: prepared.commit, versions: ['0002'] },
    });
    const onCopy = await copy.port.observe(world.context('look'), query);
    assert.deepEqual(onCopy.applied, ['0001', '0002']);
    await copy.dispose();
    const live = await world.port.observe(world.context('look'), query);
    assert.deepEqual([live.applied, live.fingerprint], [['0001'], prepared.before.fingerprint]);
    await up(world, prepared);
  });

  check('a commit that is gone does not stand in the way of the down', async (world) => {
    const prepared = await prepare(world);
    await up(world, prepared);
    const request = { release: bad, commit: '0'.repeat(40), versions: ['0002'] };
    await world.port.migrateDown(world.context('down'), request);
    const facts = await world.port.observe(world.context('look'), query);
    assert.equal(facts.fingerprint, prepared.before.fingerprint);
  });
}

function release(id: ReleaseId, applied: readonly string[]): import('../domain/release.ts').Release {
  const surface = {
    kind: 'database',
    commit: '',
    artifact: { applied, fingerprint: '' },
    label: '',
    since: id,
  } as const;
  return {
    ...{ id, createdAt: 0, createdBy: 'test', commit: '', deployment: 'live', health: 'good' },
    ...{ surfaces: { vault: surface }, configurationHash: '' },
  };
}
