import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { lsnOf } from '../../../src/providers/postgres/lsn.ts';
import { markOf, messagePrefix } from '../../../src/providers/postgres/marking.ts';
import { SlotReader, type Transaction } from '../../../src/providers/postgres/slot-reader.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { SalvageWorld } from './salvage-world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

test('only what was applied is confirmed: what was taken and not acknowledged comes again, the rest does not', async () => {
  await using world = await SalvageWorld.make(cluster, 'acknowledged', 'CREATE TABLE t (id int PRIMARY KEY)');
  const capture = await world.capture();
  const open = (from: bigint): Promise<SlotReader> =>
    SlotReader.open({
      ...{
        url: world.url,
        slot: capture.slot,
        publication: capture.publication,
        origin: capture.origin,
        from,
      },
      mark: { prefix: messagePrefix, content: markOf(capture.key) },
      ...{ folder: world.folder, signal: new AbortController().signal },
    });
  const confirmed = async (): Promise<bigint> => {
    const [slot] = await world.query<{ at: string }>(
      `SELECT confirmed_flush_lsn AS at FROM pg_replication_slots WHERE slot_name = '${capture.slot}'`,
    );
    return lsnOf(slot?.at ?? '0/0');
  };
  const take = async (reader: SlotReader, count: number): Promise<readonly Transaction[]> => {
    const taken: Transaction[] = [];
    while (taken.length < count) taken.push(...(await reader.take(count - taken.length, 5_000)));
    return taken;
  };
  for (const id of [1, 2, 3]) await world.query(`INSERT INTO t VALUES (${id})`);
  let second: Transaction | undefined;
  let third: Transaction | undefined;
  {
    await using reader = await open(capture.from);
    [, second, third] = await take(reader, 3);
    reader.acknowledge(second?.endLsn ?? 0n);
    // Leaving tells the server once more how far it is.
  }
  assert.ok(second && third);
  while ((await confirmed()) < second.endLsn) await sleep(10);
  assert.equal(await confirmed(), second.endLsn);
  {
    await using reader = await open(capture.from);
    const [again] = await take(reader, 1);
    assert.equal(again?.endLsn, third.endLsn, 'the third one again, and not the second');
    reader.acknowledge(third.endLsn);
    // Nothing of ours comes any more: the log of everybody else is let go all the same.
    while ((await confirmed()) <= third.endLsn) {
      await world.query('CREATE TABLE other (id int); DROP TABLE other');
      await reader.take(1, 200);
    }
  }
});
