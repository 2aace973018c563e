import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { recordGood, recordLive, recordRollback } from '../../src/app/records.ts';
import type { Json } from '../../src/domain/json.ts';
import type { Release, ReleaseId } from '../../src/domain/release.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Store } from '../../src/store/store.port.ts';
import type { WorkContext } from '../../src/surfaces/surface.port.ts';
import { contractPlan } from '../../src/testing/store-harness.ts';
import { bad, good, vaultRelease } from '../support/vault-situation.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';

/** A real store under a lease, with r2 and r3 in it. */
class Records implements AsyncDisposable {
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'unship-records-'));
  readonly #self: VirtualProcess = new VirtualProcess(new VirtualTime());
  readonly store: Store = openSqliteStore(join(this.#folder, 'state.db'), this.#self.runtime);
  fence = 0;

  async begin(...releases: readonly Release[]): Promise<this> {
    const owner = { host: 'h', pid: 1, pidStartedAt: '1', user: 'maria', command: 'c' };
    const request = { owner, mode: 'normal', run: null, kind: 'rollback', now: 0, ttlMs: 9 } as const;
    const answer = await this.store.acquireLease({ ...request, isAlive: () => null });
    assert.ok(answer.granted);
    this.fence = answer.lease.fence;
    await this.store.saveReleases(this.fence, releases);
    return this;
  }

  get context(): WorkContext {
    return {
      runtime: this.#self.runtime,
      signal: new AbortController().signal,
      idempotencyKey: 'key',
      fence: this.fence,
      maximumRowsLost: 0,
      progress: () => {},
    };
  }

  async states(): Promise<{ readonly [id: string]: string }> {
    const { releases } = await this.store.history();
    return Object.fromEntries(releases.map(({ id, deployment, health }) => [id, `${deployment}, ${health}`]));
  }

  async release(id: ReleaseId): Promise<Release> {
    const found = await this.store.release(id);
    assert.ok(found !== undefined);
    return found;
  }

  async isQuarantined(commit: string): Promise<boolean> {
    const { quarantine } = await this.store.history();
    return quarantine.some((entry) => entry.commit === commit && entry.fixedBy === undefined);
  }

  /** A run of the steps that these tests read, one of which has answered. */
  async ran(step: string, output: Json): Promise<number> {
    const rest = { title: '', input: null, after: [], estimateMs: 0, pointOfNoReturn: false, timeoutMs: 1 };
    const steps = ['web.stage', 'vault.migrate-up', 'vault.migrate-up-contract'].map((id) => {
      const [surface = ''] = id.split('.');
      return { ...rest, id, surface, action: '', importance: 'required', onFailure: 'undo' } as const;
    });
    const { run } = await this.store.createRun(this.fence, { ...contractPlan, steps }, 1, 'l');
    await this.applied(run, step, output);
    return run;
  }

  async applied(run: number, step: string, output: Json): Promise<void> {
    const entry = { type: 'step', step, status: 'applied', attempt: 1, output } as const;
    await this.store.append(this.fence, run, [entry]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The same store, on which one call fails, in a transaction too. */
function failing(store: Store, call: 'quarantine' | 'liftQuarantine'): Store {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === call) return async () => Promise.reject(new Error('the disk fails'));
      if (name === 'together') {
        return (what: string, work: (state: Store) => Promise<unknown>) =>
          target.together(what, (state) => work(failing(state, call)));
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Where releases stood, as the input of a record step tells it. */
function before(states: { readonly [id: string]: string }, ...quarantine: readonly Json[]): Json {
  const releases = Object.entries(states).map(([id, state]) => {
    const [deployment = '', health = ''] = state.split(', ');
    return [id, { deployment, health }] as const;
  });
  return { releases: Object.fromEntries(releases), quarantine: [...quarantine] };
}

function rollbackInput(changes: { readonly [key: string]: Json } = {}): Json {
  return {
    from: 'r3',
    to: 'r2',
    undo: false,
    quarantine: true,
    only: null,
    replaced: null,
    restored: null,
    before: before({ r3: 'live, unproven', r2: 'superseded, good' }),
    restores: null,
    reason: 'it loses entries',
    ...changes,
  };
}

const now = (): number => 7;

describe('the record of a release', () => {
  test('puts it live, unproven, and takes that back', async () => {
    await using records = await new Records().begin(
      vaultRelease(2, { deployment: 'live' }),
      vaultRelease(3, { deployment: 'pending' }),
    );
    const handler = recordLive(records.store, 1);
    const input = { release: 'r3', previous: 'r2' };
    for (let twice = 0; twice < 2; twice += 1) await handler.apply(records.context, input);
    assert.deepEqual(await records.states(), { r3: 'live, unproven', r2: 'superseded, good' });
    await handler.undo?.(records.context, input, null);
    assert.deepEqual(await records.states(), { r3: 'rolled-back, unproven', r2: 'live, good' });
  });

  test('takes in what the steps made: the build, and the schema after the last migration', async () => {
    await using records = await new Records().begin(vaultRelease(3));
    const run = await records.ran('web.stage', { folder: 'built' });
    const applied = (id: string, output: Json): Promise<void> => records.applied(run, id, output);
    await applied('vault.migrate-up', { applied: ['1'], fingerprint: 'f1' });
    await recordLive(records.store, run).apply(records.context, { release: 'r3', previous: null });
    assert.deepEqual((await records.release('r3')).surfaces.web?.artifact, { folder: 'built' });
    assert.deepEqual((await records.release('r3')).surfaces.vault?.artifact, {
      applied: ['1'],
      fingerprint: 'f1',
    });
    await applied('vault.migrate-up-contract', { applied: ['1', '2'], fingerprint: 'f2' });
    await recordGood(records.store, run).apply(records.context, { release: 'r3', proven: true });
    const { health, surfaces } = await records.release('r3');
    assert.equal(health, 'good');
    assert.deepEqual(surfaces.vault?.artifact, { applied: ['1', '2'], fingerprint: 'f2' });
  });
});

describe('the record of a rollback', () => {
  test('says which serves and which was taken back, and quarantines its commit; taking that back restores both', async () => {
    await using records = await new Records().begin(vaultRelease(3), vaultRelease(2));
    const handler = recordRollback(records.store, 1, now);
    for (let twice = 0; twice < 2; twice += 1) await handler.apply(records.context, rollbackInput());
    assert.deepEqual(await records.states(), { r3: 'rolled-back, bad', r2: 'live, good' });
    assert.ok(await records.isQuarantined(bad));
    await handler.undo?.(records.context, rollbackInput(), null);
    assert.deepEqual(await records.states(), { r3: 'live, unproven', r2: 'superseded, good' });
    assert.ok(!(await records.isQuarantined(bad)));
  });

  test('of a release that stopped half-way leaves the live one live, also when it is taken back', async () => {
    await using records = await new Records().begin(
      vaultRelease(3, { deployment: 'pending' }),
      vaultRelease(2, { deployment: 'live' }),
    );
    const handler = recordRollback(records.store, 1, now);
    const input = rollbackInput({
      before: before({ r3: 'pending, unproven', r2: 'live, good' }),
    });
    await handler.apply(records.context, input);
    assert.deepEqual(await records.states(), { r3: 'rolled-back, bad', r2: 'live, good' });
    await handler.undo?.(records.context, input, null);
    assert.deepEqual(await records.states(), { r3: 'pending, unproven', r2: 'live, good' });
  });

  test('beyond the live release leaves one release live', async () => {
    await using records = await new Records().begin(
      vaultRelease(4),
      vaultRelease(3, { deployment: 'live' }),
      vaultRelease(2),
    );
    await recordRollback(records.store, 1, now).apply(records.context, rollbackInput({ from: 'r4' }));
    assert.deepEqual(await records.states(), {
      r4: 'rolled-back, bad',
      r3: 'superseded, unproven',
      r2: 'live, good',
    });
  });

  test('of the same code quarantines nothing', async () => {
    await using records = await new Records().begin(vaultRelease(2, { deployment: 'live' }), vaultRelease(1));
    const input = rollbackInput({ from: 'r2', to: 'r1' });
    await recordRollback(records.store, 1, now).apply(records.context, input);
    assert.ok(!(await records.isQuarantined(good)));
  });

  test('of a release that is not to blame quarantines nothing', async () => {
    await using records = await new Records().begin(vaultRelease(3), vaultRelease(2));
    await recordRollback(records.store, 1, now).apply(records.context, rollbackInput({ quarantine: false }));
    assert.ok(!(await records.isQuarantined(bad)));
  });

  test('limited to some surfaces changes those, and can be taken back', async () => {
    const [three, two] = [vaultRelease(3), vaultRelease(2)];
    await using records = await new Records().begin(three, two);
    const handler = recordRollback(records.store, 1, now);
    const part = (release: Release): Json => ({ web: release.surfaces.web }) as unknown as Json;
    const input = rollbackInput({ only: ['web'], replaced: part(three), restored: part(two) });
    for (let twice = 0; twice < 2; twice += 1) await handler.apply(records.context, input);
    const after = await records.release('r3');
    assert.deepEqual(after.surfaces, { ...three.surfaces, web: two.surfaces.web });
    assert.deepEqual(await records.states(), { r3: 'live, bad', r2: 'superseded, good' });
    assert.ok(!(await records.isQuarantined(bad)), 'the rest of it still serves');
    await handler.undo?.(records.context, input, null);
    assert.deepEqual((await records.release('r3')).surfaces, three.surfaces);
  });

  test('that is undone puts the release live again and lifts its quarantine', async () => {
    await using records = await new Records().begin(vaultRelease(3), vaultRelease(2));
    const handler = recordRollback(records.store, 1, now);
    await handler.apply(records.context, rollbackInput());
    await handler.apply(records.context, rollbackInput({ from: 'r2', to: 'r3', undo: true }));
    assert.deepEqual(await records.states(), { r3: 'live, unproven', r2: 'superseded, good' });
    assert.ok(!(await records.isQuarantined(bad)), 'what follows from it may be released');
    assert.ok(!(await records.isQuarantined(good)));
  });

  test('stands as a whole or not at all, also one that lifts a quarantine', async () => {
    await using records = await new Records().begin(vaultRelease(3), vaultRelease(2));
    const { store, fence } = records;
    const entry = { commit: bad, release: 'r3' as const, reason: 'it loses entries', since: 7 };
    await store.quarantine(fence, entry);
    const undo = rollbackInput({ from: 'r2', to: 'r3', undo: true });
    for (const [input, call] of [
      [rollbackInput(), 'quarantine'],
      [undo, 'liftQuarantine'],
    ] as const) {
      const handler = recordRollback(failing(store, call), 1, now);
      await assert.rejects(handler.apply(records.context, input), /disk/);
      assert.deepEqual(await records.states(), { r3: 'live, unproven', r2: 'superseded, good' });
      assert.ok(await records.isQuarantined(bad));
    }
    await assert.rejects(recordRollback(store, 1, now).verify(records.context, rollbackInput(), null), {
      slug: 'internal',
    });
  });

  test('of an undo takes in the schema that this run has made, where the release had never come to it', async () => {
    const artifact = { applied: ['1'], fingerprint: '' };
    const three = vaultRelease(3, { deployment: 'rolled-back' });
    const { vault } = three.surfaces;
    assert.ok(vault);
    const surfaces = { ...three.surfaces, vault: { ...vault, artifact, since: 'r3' as const } };
    await using records = await new Records().begin({ ...three, surfaces }, vaultRelease(2));
    const run = await records.ran('vault.migrate-up', { applied: ['1'], fingerprint: 'f1' });
    const input = rollbackInput({ from: 'r2', to: 'r3', undo: true });
    await recordRollback(records.store, run, now).apply(records.context, input);
    const { vault: recorded } = (await records.release('r3')).surfaces;
    assert.deepEqual(recorded?.artifact, { applied: ['1'], fingerprint: 'f1' });
  });

  test('takes in the schema that was found, where the release never said which it left behind', async () => {
    await using records = await new Records().begin(vaultRelease(3), vaultRelease(2));
    const found = { applied: ['1'], fingerprint: 'found' };
    const schemas = { vault: found, gone: found };
    const handler = recordRollback(records.store, 1, now);
    await handler.apply(records.context, rollbackInput({ schemas }));
    assert.deepEqual((await records.release('r2')).surfaces.vault?.artifact, found);
    assert.equal((await records.release('r2')).surfaces.gone, undefined);
    await handler.apply(records.context, rollbackInput({ from: 'r2', to: 'r3', undo: true, schemas }));
    assert.deepEqual((await records.release('r3')).surfaces.vault?.artifact, found);
  });

  test('whose undo is undone is again what it was: its health, its commit quarantined with reason and time', async () => {
    const entry = { commit: bad, release: 'r3', reason: 'it loses entries', since: 7 };
    const rolledBack = before({ r2: 'live, good', r3: 'rolled-back, bad' }, entry);
    const undone = before({ r3: 'live, unproven', r2: 'superseded, good' });
    await using records = await new Records().begin(vaultRelease(3), vaultRelease(2));
    const handler = recordRollback(records.store, 1, now);
    await handler.apply(records.context, rollbackInput());
    const first = rollbackInput({ from: 'r2', to: 'r3', undo: true, before: rolledBack });
    await handler.apply(records.context, first);
    const second = rollbackInput({ undo: true, before: undone, restores: rolledBack });
    for (let twice = 0; twice < 2; twice += 1) await handler.apply(records.context, second);
    assert.deepEqual(await records.states(), { r3: 'rolled-back, bad', r2: 'live, good' });
    assert.deepEqual((await records.store.history()).quarantine, [entry]);
    await handler.undo?.(records.context, second, null);
    assert.deepEqual(await records.states(), { r3: 'live, unproven', r2: 'superseded, good' });
    assert.ok(
      !(await records.isQuarantined(bad)),
      'taking the second undo back leaves what the first one did',
    );
    await handler.apply(records.context, second);
    const third = rollbackInput({ from: 'r2', to: 'r3', undo: true, before: rolledBack, restores: undone });
    await handler.apply(records.context, third);
    assert.deepEqual(await records.states(), { r3: 'live, unproven', r2: 'superseded, good' });
    assert.ok(!(await records.isQuarantined(bad)));
  });

  test('that is undone beyond a release half-way leaves one release live, not the one that was live before it', async () => {
    await using records = await new Records().begin(
      vaultRelease(4, { deployment: 'pending' }),
      vaultRelease(3, { deployment: 'live' }),
      vaultRelease(2, { deployment: 'superseded' }),
    );
    // What brought r3 back found it superseded.
    const restores = before({ r2: 'live, good', r3: 'superseded, good' });
    const input = rollbackInput({ from: 'r4', to: 'r2', undo: true, restores });
    await recordRollback(records.store, 1, now).apply(records.context, input);
    assert.deepEqual(await records.states(), {
      r4: 'superseded, unproven',
      r3: 'superseded, unproven',
      r2: 'live, good',
    });
  });

  test('whose undo is undone later, beyond a newer release, is again what it was', async () => {
    const entry = { commit: bad, release: 'r3', reason: 'it loses entries', since: 7 };
    await using records = await new Records().begin(
      vaultRelease(4, { deployment: 'live' }),
      vaultRelease(3, { deployment: 'superseded' }),
      vaultRelease(2),
    );
    const restores = before({ r2: 'live, good', r3: 'rolled-back, bad' }, entry);
    const input = rollbackInput({ from: 'r4', undo: true, restores });
    await recordRollback(records.store, 1, now).apply(records.context, input);
    assert.deepEqual(await records.states(), {
      r4: 'superseded, unproven',
      r3: 'rolled-back, bad',
      r2: 'live, good',
    });
    assert.ok(await records.isQuarantined(bad));
  });

  test('limited to some surfaces, whose undo is undone, leaves the release bad', async () => {
    const three = vaultRelease(3, { deployment: 'live', health: 'unproven' });
    await using records = await new Records().begin(three);
    const part = { web: three.surfaces.web } as unknown as Json;
    const restores = before({ r3: 'live, bad' });
    const input = rollbackInput({ to: 'r3', undo: true, only: ['web'], restored: part, restores });
    await recordRollback(records.store, 1, now).apply(records.context, input);
    assert.deepEqual(await records.states(), { r3: 'live, bad' });
  });
});
