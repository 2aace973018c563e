import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { isUnshipError } from '../../../src/domain/errors.ts';
import type { Runtime } from '../../../src/domain/runtime.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { createSqlite } from '../../../src/providers/sqlite/index.ts';
import { contextOf, makeWorld, runtime, type SqliteWorld } from './world.ts';

const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);
const key = new Secret(`# created: today\n# public key: ${recipient}\n${identity}\n`);
const day = 24 * 60 * 60 * 1000;

const invalid =
  (about = /./) =>
  (error: unknown) =>
    isUnshipError(error) && error.slug === 'backup-invalid' && about.test(error.message);

async function encryptedWorld() {
  const world = await makeWorld({ secondLocation: 'elsewhere', encryptTo: recipient });
  world.application.exec('CREATE TABLE canaries (id INTEGER PRIMARY KEY, song TEXT)');
  // More than one of age's chunks of 64 KiB.
  world.application.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO canaries SELECT i, 'tweet-tweet-' || i || hex(randomblob(20)) FROM n`);
  const backup = await world.port.backup(contextOf('backup'), 'r2');
  const elsewhere = join(world.root, 'elsewhere');
  return Object.assign(world, { backup, elsewhere, copy: join(elsewhere, `${backup.id}.db.age`) });
}

/** The state of this machine is gone, as after a burnt disk; the second location is not. */
function forgetBackups(world: SqliteWorld): void {
  rmSync(join(world.root, 'state', 'backups'), { recursive: true });
}

/** The same database as seen at another time, and with the private key in the environment or without. */
function portAt(world: SqliteWorld, ms: number, withKey: boolean) {
  const clock = { ...runtime.clock, now: () => ms };
  const later: Runtime = { ...runtime, clock };
  const options = { file: 'vault.db', secondLocation: 'elsewhere', encryptTo: recipient };
  const environment = { ...world.environment, runtime: later, reveal: () => key };
  const identityOption = withKey ? { identity: { $secret: 'BACKUP_IDENTITY' } } : {};
  const { port } = createSqlite({ ...options, ...identityOption }, environment);
  return { port, look: contextOf('proof', { runtime: later }) };
}

function flip(file: string, at: number): () => void {
  const bytes = readFileSync(file);
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  writeFileSync(file, changed);
  return () => writeFileSync(file, bytes);
}

test('control 25: nothing in the second location can be read without the key, and all of it is private', async () => {
  await using world = await encryptedWorld();
  const files = readdirSync(world.elsewhere).sort();
  assert.deepEqual(files, [`${world.backup.id}.db.age`, `${world.backup.id}.json.age`]);
  for (const name of files) {
    const bytes = readFileSync(join(world.elsewhere, name));
    assert.match(bytes.toString('latin1'), /^age-encryption\.org\/v1\n-> X25519 /);
    for (const plain of ['SQLite format', 'canaries', 'tweet', world.backup.fingerprint])
      assert.ok(!bytes.includes(plain), `${name} holds ${plain}`);
    assert.equal(statSync(join(world.elsewhere, name)).mode & 0o777, 0o600);
  }
});

test('control 25: from the encrypted copy and the private key alone, a backup comes back and is restored', async () => {
  await using world = await encryptedWorld();
  const taken = readFileSync(world.backup.location);
  forgetBackups(world);
  const stranger = new Secret(await generateX25519Identity());
  for (const wrong of [undefined, stranger]) {
    await assert.rejects(world.port.fetchBackup(contextOf('fetch'), world.backup.id, wrong), invalid());
    assert.deepEqual(readdirSync(join(world.root, 'state', 'backups')), []);
  }
  assert.equal(await world.port.fetchBackup(contextOf('fetch'), world.backup.id, key), true);
  assert.deepEqual(readFileSync(world.backup.location), taken);
  world.application.exec("UPDATE canaries SET song = 'silence'");
  await world.port.restore(contextOf('restore', { maximumRowsLost: 10_000 }), {
    backup: world.backup.id,
    maximumRowsLost: 10_000,
  });
  const silent = world.application.prepare("SELECT count(*) AS n FROM canaries WHERE song = 'silence'").get();
  assert.equal(silent?.n, 0);
  assert.equal(await world.port.fetchBackup(contextOf('fetch'), 'r9-nothing', key), false);
});

test('control 25: a byte that is flipped or missing in the encrypted copy refuses it', async () => {
  await using world = await encryptedWorld();
  forgetBackups(world);
  const refused = () =>
    assert.rejects(world.port.fetchBackup(contextOf('fetch'), world.backup.id, key), invalid());
  const { size } = statSync(world.copy);
  for (const at of [0, 40, 150, 200, 65_000, 70_000, size - 1]) {
    const mend = flip(world.copy, at);
    await refused();
    mend();
  }
  const whole = readFileSync(world.copy);
  for (const length of [0, 100, 65_536 + 200, size - 1]) {
    writeFileSync(world.copy, whole.subarray(0, length));
    await refused();
  }
  writeFileSync(world.copy, whole);
  const about = world.copy.replace('.db.age', '.json.age');
  const mend = flip(about, statSync(about).size - 20);
  await refused();
  mend();
  assert.equal(await world.port.fetchBackup(contextOf('fetch'), world.backup.id, key), true);
  using restored = new DatabaseSync(world.backup.location, { readOnly: true });
  assert.equal(restored.prepare('SELECT count(*) AS n FROM canaries').get()?.n, 3000);
});

test('control 25: once a week the newest backup is restored as a test, from its encrypted copy where the key is', async () => {
  await using world = await encryptedWorld();
  const start = world.backup.takenAt;
  const at = (days: number, withKey = true) => portAt(world, start + days * day, withKey);
  const first = at(0);
  assert.equal(await first.port.restoreProof(), null);
  const proof = await first.port.proveRestore(first.look);
  assert.deepEqual(proof, {
    ...{ schema: 'unship.restore-proof/1', backup: world.backup.id, at: start },
    ...{ from: 'second-location', failed: null, provenAt: start },
  });
  assert.deepEqual(await first.port.restoreProof(), proof);
  const soon = at(6);
  assert.equal(await soon.port.proveRestore(soon.look), null, 'its week is not over');
  const without = at(8, false);
  assert.equal((await without.port.proveRestore(without.look))?.from, 'local');
  assert.deepEqual(readdirSync(join(world.root, 'state', 'restore-proofs')), [], 'nothing of it stays');
});

test('control 25: a test restore that fails says why, keeps when one last succeeded, and is tried again', async () => {
  await using world = await encryptedWorld();
  const start = world.backup.takenAt;
  const first = portAt(world, start, true);
  await first.port.proveRestore(first.look);
  const mend = flip(world.copy, 70_000);
  for (const [days, withKey] of [
    [8, true],
    [9.1, false],
  ] as const) {
    const { port, look } = portAt(world, start + days * day, withKey);
    const failed = await port.proveRestore(look);
    assert.match(failed?.failed ?? '', /is not what it was when it was written/);
    assert.equal(failed?.provenAt, start);
    assert.equal(await port.proveRestore(look), null, 'not every few seconds');
  }
  mend();
  const last = portAt(world, start + 10.2 * day, true);
  assert.equal((await last.port.proveRestore(last.look))?.failed, null);
});
