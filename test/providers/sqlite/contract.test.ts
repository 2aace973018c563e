import { databaseContract } from '../../../src/testing/database-contract.ts';
import { makeWorld } from './world.ts';

databaseContract('sqlite', () => makeWorld());
