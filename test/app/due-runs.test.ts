import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resumeDueRuns } from '../../src/app/due-runs.ts';
import type { Parts } from '../../src/app/parts.ts';
import type { RunResult } from '../../src/domain/report.ts';
import type { RunStatus } from '../../src/domain/run.ts';

test('a run that can not go on does not stand in the way of the others that are due, and is not passed over in silence', async () => {
  const statuses: readonly RunStatus[] = ['done', 'running', 'blocked', 'undoing', 'paused', 'waiting'];
  const runs = statuses.map((status, index) => ({ id: index + 1, status })).toReversed();
  const parts = {
    store: { runs: async () => runs, lease: async () => undefined },
    runtime: { clock: { now: () => 0 } },
    isOwnerAlive: () => null,
  } as unknown as Parts;
  const tried: number[] = [];
  const goOn = async ({ id }: { readonly id: number }): Promise<RunResult> => {
    tried.push(id);
    if (id === 2) throw new Error('its journal is damaged');
    return { run: id } as RunResult;
  };
  const follow = (): Promise<never> => Promise.reject(new Error('nothing is left to follow'));
  const work = { isHeld: async () => false, goOn, follow };
  await assert.rejects(resumeDueRuns(parts, work), /its journal is damaged/);
  assert.deepEqual(tried, [2, 4, 6]);
});
