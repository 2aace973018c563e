import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Parts } from '../../src/app/parts.ts';
import { Releasing } from '../../src/app/releasing.ts';
import { isRefusal } from '../../src/domain/plan.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import { beforeMigrations } from '../support/vault-plans.ts';
import { database, fix, migration, vaultPolicy, vaultRelease } from '../support/vault-situation.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';

test('a release that was drafted on what is no longer live, or on a schema that has come since, is drafted anew', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'unship-releasing-'));
  const { runtime } = new VirtualProcess(new VirtualTime());
  const store = openSqliteStore(join(folder, 'state.db'), runtime);
  context.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const before = beforeMigrations(migration('0018')).surfaces;
  const migrated = { ...before, vault: database({ pending: [] }) };
  let seen: typeof before = before;
  const surfaces = new Map(
    Object.keys(before).map((name) => [name, { name, observe: async () => seen[name] }] as const),
  );
  const parts = {
    store,
    surfaces,
    runtime,
    policy: vaultPolicy(),
    source: { resolve: async () => fix, contains: async () => false, hasTrailer: async () => false },
    plannedReleases: new Map(),
    definition: { surfaces: {} },
    request: { user: 'maria', definitionHash: 'h', processEnvironment: {} },
  } as unknown as Parts;
  const prepare = async (meanwhile: () => Promise<void>): Promise<string> => {
    const releasing = new Releasing(parts, {
      keep: async (make) => {
        await meanwhile();
        return await make();
      },
      execute: () => Promise.reject(new Error('nothing is carried out here')),
    });
    const signal = new AbortController().signal;
    const prepared = await releasing
      .prepare({ signal, onEvent: () => {}, dryRun: true }, false, 'whole')
      .catch((error: { readonly slug: string }) => error.slug);
    if (typeof prepared === 'string') return prepared;
    return isRefusal(prepared) ? prepared.missing.join() : `${prepared.plan.from} to ${prepared.plan.to}`;
  };
  await store.saveReleases(0, [vaultRelease(2, { deployment: 'live' })]);
  assert.equal(await prepare(async () => {}), 'r2 to r3');
  const migrate = async (): Promise<void> => {
    seen = migrated;
  };
  assert.equal(await prepare(migrate), 'plan-stale');
  seen = before;
  const another = async (): Promise<void> =>
    await store.saveReleases(0, [vaultRelease(2), vaultRelease(3, { deployment: 'live' })]);
  assert.equal(await prepare(another), 'plan-stale');
});
