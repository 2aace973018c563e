import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { isUnshipError } from '../../src/domain/errors.ts';
import { type Keeping, plainKeeping } from '../../src/store/keeping.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Store } from '../../src/store/store.port.ts';
import { contractPlan } from '../../src/testing/store-harness.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';

const positions = 1000;
const owner = { host: 'h', pid: 1, pidStartedAt: '1', user: 'ada', command: 'unship rollback' };

class Kept {
  readonly file: string;
  readonly evidence: string[] = [];

  constructor(context: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), 'unship-damaged-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    this.file = join(folder, 'state.db');
  }

  async open<T>(work: (store: Store) => Promise<T>): Promise<T> {
    const keeping: Keeping = {
      ...plainKeeping,
      setAside: (run, text) => {
        this.evidence.push(text);
        return `corrupt/run-${run}.json`;
      },
    };
    const store = openSqliteStore(this.file, new VirtualProcess(new VirtualTime()).runtime, 0, keeping);
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  }

  /** A run with twelve entries, and nothing in the file but what it holds now. */
  async fill(): Promise<number> {
    const made = await this.open(async (store) => {
      const request = { owner, mode: 'normal', run: null, kind: null, now: 0, ttlMs: 1000 } as const;
      const answer = await store.acquireLease({ ...request, isAlive: () => true });
      assert.ok(answer.granted);
      const { run } = await store.createRun(answer.lease.fence, contractPlan, 1, 'l');
      for (let attempt = 1; attempt < 12; attempt += 1) {
        const observed = `look ${attempt} at the way back, from outside`;
        const entry = { type: 'step', step: 'web.switch', status: 'verified', attempt, observed } as const;
        await store.append(answer.lease.fence, run, [entry]);
      }
      return run;
    });
    const database = new DatabaseSync(this.file);
    database.exec('vacuum; pragma wal_checkpoint(truncate)');
    database.close();
    return made;
  }

  /** Where in the file each of these texts lies, all its bytes. */
  places(texts: readonly string[]): readonly number[] {
    const bytes = readFileSync(this.file);
    return texts.flatMap((text) => {
      const at = bytes.indexOf(text);
      assert.ok(at > 0, `not in one piece: ${text}`);
      return Array.from({ length: Buffer.byteLength(text) }, (_, index) => at + index);
    });
  }
}

function textsOf(file: string): Readonly<Record<'entries' | 'hashes' | 'plan' | 'head', readonly string[]>> {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const rows = database.prepare('select entry, hash from journal').all();
    const run = database.prepare('select plan, head from runs').get();
    return {
      entries: rows.map(({ entry }) => String(entry)),
      // The last one is the head of the run too.
      hashes: rows.slice(0, -1).map(({ hash }) => String(hash)),
      plan: [String(run?.plan)],
      head: [String(run?.head)],
    };
  } finally {
    database.close();
  }
}

test('control 10: one byte of the file changed, at any of 1,000 places of entries, hashes, plan and head, is found', async (context) => {
  const kept = new Kept(context);
  const run = await kept.fill();
  const { entries, hashes, plan, head } = textsOf(kept.file);
  const all = kept.places([...entries, ...hashes, ...plan, ...head]);
  assert.ok(all.length > positions, `${all.length} bytes`);
  // Plan and head at every byte, and evenly over the rest.
  const always = new Set(kept.places([...plan, ...head]));
  const others = all.filter((place) => !always.has(place));
  const wanted = Math.max(positions - always.size, 400);
  const spread = Array.from({ length: wanted }, (_, index) => Math.floor((index * others.length) / wanted));
  const places = [...always, ...spread.map((index) => others[index] ?? 0)];
  assert.ok(places.length >= positions, `${places.length} places`);
  const intact = await kept.open((store) => store.journal(run));
  const original = readFileSync(kept.file);
  const handle = openSync(kept.file, 'r+');
  try {
    for (const [index, place] of places.entries()) {
      const byte = original[place] ?? 0;
      writeSync(handle, Buffer.of(byte ^ (1 << (index % 8))), 0, 1, place);
      const found = await kept.open((store) => store.journal(run)).then(() => 'nothing', slugOf);
      assert.equal(found, 'journal-corrupt', `byte ${place}, bit ${index % 8}`);
      writeSync(handle, Buffer.of(byte), 0, 1, place);
    }
  } finally {
    closeSync(handle);
  }
  assert.equal(kept.evidence.length, places.length, 'each was put aside');
  assert.deepEqual(await kept.open((store) => store.journal(run)), intact);
});

function slugOf(error: unknown): string {
  return isUnshipError(error) ? error.slug : String(error);
}

test('control 10: what is put aside is all that is stored of the run, as it stands there', async (context) => {
  const kept = new Kept(context);
  const run = await kept.fill();
  const database = new DatabaseSync(kept.file);
  database.prepare(`update journal set entry = '{"broken' where seq = 3`).run();
  const stored = {
    run: { ...database.prepare('select * from runs').get() },
    journal: database
      .prepare('select * from journal order by seq')
      .all()
      .map((row) => ({ ...row })),
  };
  database.close();
  await kept.open(async (store) => {
    await assert.rejects(store.journal(run), (error) => {
      assert.ok(isUnshipError(error));
      assert.match(error.details.done ?? '', /copied to corrupt\/run-1\.json/);
      return true;
    });
  });
  assert.deepEqual(JSON.parse(kept.evidence[0] ?? ''), stored);
});

test('control 10: a plan that no longer reads is told as damage', async (context) => {
  const kept = new Kept(context);
  const run = await kept.fill();
  const database = new DatabaseSync(kept.file);
  database.prepare(`update runs set plan = substr(plan, 2)`).run();
  database.close();
  await kept.open((store) => assert.rejects(store.plan(run), { slug: 'journal-corrupt' }));
});
