import { after, before } from 'node:test';
import { databaseContract } from '../../../src/testing/database-contract.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { makeWorld, prepareRole } from './world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
  await prepareRole(cluster);
});
after(async () => await cluster[Symbol.asyncDispose]());

databaseContract('postgres', () => makeWorld(cluster));
