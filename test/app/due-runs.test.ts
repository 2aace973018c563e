import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resumeDueRuns } from '../../src/app/due-runs.ts';
import type { Parts } from '../../src/app/parts.ts';
import type { RunOptions } from '../../src/domain/application.ts';
import type { RunResult } from '../../src/domain/report.ts';
import type { RunStatus } from '../../src/domain/run.ts';

const options: RunOptions = { signal: new AbortController().signal, onEvent: () => {} };

test('a run that can not go on does not stand in the way of the others that are due, and is not passed over in silence', async () => {
  const statuses: readonly RunStatus[] = ['done', 'running', 'blocked', 'undoing', 'paused', 'waiting'];
  const runs = statuses.map((status, index) => ({ id: index + 1, status })).toReversed();
  const parts = {
    store: { runs: async () => runs, lease: async () => undefined },
    runtime: { clock: { now: () => 0 } },
    isOwnerAlive: () => null,
    webs: new Map(),
  } as unknown as Parts;
  const tried: number[] = [];
  const goOn = async ({ id }: { readonly id: number }): Promise<RunResult> => {
    tried.push(id);
    if (id === 2) throw new Error('its journal is damaged');
    return { run: id } as RunResult;
  };
  const follow = (): Promise<never> => Promise.reject(new Error('nothing is left to follow'));
  const work = { isHeld: async () => false, goOn, follow };
  await assert.rejects(resumeDueRuns(parts, options, work), /its journal is damaged/);
  assert.deepEqual(tried, [2, 4, 6]);
});

test('a gateway that can not be started again does not stand in the way of the runs that are due', async () => {
  const keepUp = (): Promise<never> => Promise.reject(new Error('the port is taken'));
  const parts = {
    store: { runs: async () => [{ id: 7, status: 'running' }], lease: async () => undefined },
    runtime: { clock: { now: () => 0, sleep: () => new Promise(() => {}) } },
    webs: new Map([['web', { keepUp, coverLogs: async () => {} }]]),
  } as unknown as Parts;
  const tried: number[] = [];
  const work = {
    isHeld: async () => false,
    goOn: async ({ id }: { readonly id: number }): Promise<RunResult> => {
      tried.push(id);
      return { run: id } as RunResult;
    },
    follow: (): Promise<never> => Promise.reject(new Error('nothing is left to follow')),
  };
  await assert.rejects(resumeDueRuns(parts, options, work), /the port is taken/);
  assert.deepEqual(tried, [7]);
});
