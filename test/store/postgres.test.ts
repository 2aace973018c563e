import { after, before } from 'node:test';
import { storeContract } from '../../src/testing/store-contract.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { PostgresHarness } from './postgres-harness.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
});
after(async () => await cluster[Symbol.asyncDispose]());

storeContract('PostgreSQL', async () => new PostgresHarness(cluster));
