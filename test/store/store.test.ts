import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { type CompiledQuery, Kysely } from 'kysely';
import { isUnshipError } from '../../src/domain/errors.ts';
import { NodeSqliteDialect } from '../../src/store/node-sqlite-dialect.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Tables } from '../../src/store/schema.ts';
import { SqlStore } from '../../src/store/sql-store.ts';
import { newestStateVersion } from '../../src/store/state-migrations.ts';
import type { Store } from '../../src/store/store.port.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { contractRelease, type StoreHarness } from '../../src/testing/store-harness.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';
import { begunRun, output, start } from './processes.ts';

class SqliteHarness implements StoreHarness {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'unship-store-'));
  readonly file: string = join(this.folder, 'state.db');
  readonly #time: VirtualTime = new VirtualTime();
  readonly #opened: Store[] = [];

  async open(): Promise<Store> {
    const store = openSqliteStore(this.file, new VirtualProcess(this.#time).runtime);
    this.#opened.push(store);
    return store;
  }

  now(): number {
    return this.#time.now();
  }

  #raw<T>(work: (database: DatabaseSync) => T): T {
    const database = new DatabaseSync(this.file);
    try {
      // Only the store's own tests write for a thousand positions; they need no fsync.
      database.exec('pragma synchronous = off');
      return work(database);
    } finally {
      database.close();
    }
  }

  async damage(run: number, seq: number, change: (text: string) => string): Promise<void> {
    this.#raw((database) => {
      const found = database
        .prepare('select entry as text from journal where run = ? and seq = ?')
        .get(run, seq);
      const text = change((found as { readonly text: string }).text);
      database.prepare('update journal set entry = ? where run = ? and seq = ?').run(text, run, seq);
    });
  }

  async forget(run: number, seq: number): Promise<void> {
    this.#raw((database) => database.prepare('delete from journal where run = ? and seq = ?').run(run, seq));
  }

  async damagePlan(run: number, change: (text: string) => string): Promise<void> {
    this.#raw((database) => {
      const found = database.prepare('select plan as text from runs where id = ?').get(run);
      const text = change((found as { readonly text: string }).text);
      database.prepare('update runs set plan = ? where id = ?').run(text, run);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#opened) await store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

storeContract('SQLite', async () => new SqliteHarness());

describe('the embedded state', () => {
  test('is synced on every commit and uses a write-ahead log', async () => {
    await using harness = new SqliteHarness();
    await harness.open();
    assert.ok(existsSync(`${harness.file}-wal`));
    const database = new DatabaseSync(harness.file);
    assert.deepEqual({ ...database.prepare('pragma journal_mode').get() }, { journal_mode: 'wal' });
    database.close();
  });

  test('a file whose maker was killed before it was ready is made ready by the next one', async () => {
    await using harness = new SqliteHarness();
    new DatabaseSync(harness.file).exec('create table other (id integer)');
    const store = await harness.open();
    assert.equal(await store.lastFence(), 0);
    assert.ok(existsSync(`${harness.file}-wal`));
  });

  test('a file of a newer version is refused where older code could misread it, and used where it could not', async () => {
    await using harness = new SqliteHarness();
    await harness.open();
    const database = new DatabaseSync(harness.file);
    database.exec(
      `pragma user_version = ${newestStateVersion + 3}; pragma application_id = ${newestStateVersion}`,
    );
    assert.equal(await (await harness.open()).lastFence(), 0, 'additive');
    database.exec(`pragma application_id = ${newestStateVersion + 1}`);
    await assert.rejects(
      harness.open(),
      (error: unknown) => isUnshipError(error) && error.slug === 'state-version',
    );
    database.close();
  });

  test('many processes that open the same fresh file make it once', async () => {
    await using harness = new SqliteHarness();
    const ended = await Promise.all(Array.from({ length: 6 }, () => output(start('open', harness.file))));
    assert.deepEqual(
      ended.map(({ code, lines }) => [code, lines]),
      ended.map(() => [0, ['0']]),
    );
    const store = await harness.open();
    assert.deepEqual(await store.runs(1), []);
  });

  test('two processes that append to one journal leave one chain', async () => {
    await using harness = new SqliteHarness();
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    const write = ['append', harness.file, String(fence), String(run), '40'];
    const ended = await Promise.all([output(start(...write)), output(start(...write))]);
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0],
    );
    assert.equal((await store.journal(run)).length, 81);
  });

  test('a process killed while it writes leaves everything it was told was written', async () => {
    await using harness = new SqliteHarness();
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    for (let round = 0; round < 3; round += 1) {
      const writer = start('append', harness.file, String(fence), String(run), '100000');
      let told = 0;
      writer.stdout?.on('data', (chunk: Buffer) => {
        const numbers = chunk.toString().split('\n').slice(0, -1).map(Number);
        told = Math.max(told, ...numbers);
        if (told > 10 * (round + 1)) writer.kill('SIGKILL');
      });
      await new Promise((resolve) => writer.once('close', resolve));
      const entries = await store.journal(run);
      assert.ok(told > 0 && entries.length >= told, `${entries.length} entries, ${told} were acknowledged`);
    }
  });

  test('a copy of the files at any moment between writes is a whole state', async () => {
    await using harness = new SqliteHarness();
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    for (let index = 0; index < 20; index += 1) {
      await store.append(fence, run, [{ type: 'note', text: String(index) }]);
      const image = join(harness.folder, `image-${index}.db`);
      for (const suffix of ['', '-wal']) copyFileSync(`${harness.file}${suffix}`, `${image}${suffix}`);
      const copy = openSqliteStore(image, new VirtualProcess(new VirtualTime()).runtime);
      assert.equal((await copy.journal(run)).length, index + 2);
      await copy.close();
    }
  });

  test('with 10,000 releases a plan reads a few of them, by index', async () => {
    await using harness = new SqliteHarness();
    const filling = await harness.open();
    const { fence } = await begunRun(filling, harness);
    const releases = Array.from({ length: 10_000 }, (_, index) =>
      contractRelease(index + 1, { health: index % 3 === 0 ? 'good' : 'unproven' }),
    );
    releases[9_990] = contractRelease(9_991, { deployment: 'live' });
    await filling.saveReleases(fence, releases);

    const queries: CompiledQuery[] = [];
    const database = new DatabaseSync(harness.file);
    const db = new Kysely<Tables>({
      dialect: new NodeSqliteDialect(database),
      log: (event) => void queries.push(event.query),
    });
    const store = new SqlStore(db, new VirtualProcess(new VirtualTime()).runtime);
    const history = await store.planningHistory('r17');
    assert.ok(history.releases.length < 100, `${history.releases.length} releases were read`);
    await store.nextReleaseId();
    await store.recentReleases(20);
    const plans = queries.flatMap((query) =>
      database
        .prepare(`explain query plan ${query.sql}`)
        .all(...(query.parameters as (string | number)[]))
        .map((row) => `${(row as { readonly detail?: string }).detail} in ${query.sql}`),
    );
    const ofReleases = plans.filter((line) => /^(SCAN|SEARCH) releases/.test(line));
    // The newest ones, in the order of the table and up to a limit, are the one scan that is not long.
    const slow = ofReleases.filter((line) => line.startsWith('SCAN') && !line.includes('limit ?'));
    assert.deepEqual(slow, []);
    assert.ok(ofReleases.length >= 6, plans.join('\n'));
    await store.close();
  });
});
