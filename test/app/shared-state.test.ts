import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openSharedState } from '../../src/app/shared-state.ts';
import { systemRuntime } from '../../src/app/system-runtime.ts';
import type { OpenRequest } from '../../src/domain/application.ts';
import type { EnvironmentDefinition } from '../../src/domain/definition.ts';
import { secret } from '../../src/index.ts';
import { plainKeeping } from '../../src/store/keeping.ts';
import { postgres } from '../../src/store/options.ts';
import type { Store } from '../../src/store/store.port.ts';
import { slugged } from '../../src/testing/store-harness.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';

let cluster: PostgresCluster;
let stateFolder = '';
before(async () => {
  cluster = await PostgresCluster.start({ listen_addresses: '127.0.0.1,127.0.0.2' });
  stateFolder = mkdtempSync(join(tmpdir(), 'unship-shared-'));
  await cluster.query('create database vault');
  await cluster.query('create database unship');
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
  rmSync(stateFolder, { recursive: true, force: true });
});

async function open(stateUrl: string, vault: unknown, vaultUrl?: string): Promise<Store> {
  const definition: EnvironmentDefinition = {
    surfaces: { vault: { provider: 'postgres', kind: 'database', options: { url: vault } as never } },
    state: postgres(secret('UNSHIP_STATE_URL')),
  };
  const request: OpenRequest = {
    definition: { name: 'vault', environments: { production: definition } },
    definitionHash: '',
    environment: 'production',
    stateFolder,
    root: stateFolder,
    processEnvironment: { UNSHIP_STATE_URL: stateUrl, VAULT_URL: vaultUrl },
    command: 'unship status',
    user: 'ada',
  };
  return await openSharedState(request, definition, systemRuntime(), plainKeeping);
}

const named = secret('VAULT_URL');

test('the state is refused in the database that is rolled back, whatever it is called there', async () => {
  const vault = cluster.url('vault');
  const alias = vault.replace('127.0.0.1', 'localhost');
  for (const other of [vault, `${alias}?application_name=vault`]) {
    await assert.rejects(open(vault, named, other), slugged('state-unsuitable'));
    await assert.rejects(open(vault, other), slugged('state-unsuitable'));
  }
  // By its address another one, and yet the same server.
  await assert.rejects(open(vault.replace('127.0.0.1', '127.0.0.2'), named, vault), (error) => {
    slugged('state-unsuitable')(error);
    assert.match(String(error), /database of vault/);
    assert.doesNotMatch(String(error), /postgres:/);
    return true;
  });
  const made = await cluster.query(`select 1 from pg_namespace where nspname like 'unship%'`, 'vault');
  assert.deepEqual(made, [], 'nothing was made there');
});

test('another database of the same server will do, also while the secret of the first is not set', async () => {
  for (const vaultUrl of [cluster.url('vault'), undefined]) {
    const store = await open(cluster.url('unship'), named, vaultUrl);
    assert.ok((await store.lastFence()) > 1_700_000_000, 'fences of a state that was lost are passed');
    await store.close();
  }
});
