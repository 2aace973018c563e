import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Store } from '../../src/store/store.port.ts';
import { contractPlan, type StoreHarness } from '../../src/testing/store-harness.ts';

const child = fileURLToPath(new URL('child.ts', import.meta.url));

/** Another process that works with the same state. */
export function start(...args: readonly string[]): ChildProcess {
  const flags = ['--disable-warning=ExperimentalWarning'];
  return spawn(process.execPath, [...flags, child, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** What it printed until it ended. */
export async function output(
  running: ChildProcess,
): Promise<{ readonly code: number | null; readonly lines: string[] }> {
  let text = '';
  running.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => running.once('close', resolve));
  return { code, lines: text.split('\n').filter((line) => line !== '') };
}

export async function begunRun(
  store: Store,
  harness: Pick<StoreHarness, 'now'>,
): Promise<{ readonly fence: number; readonly run: number }> {
  const owner = { host: 'h', pid: 1, pidStartedAt: '1', user: 'u', command: 'c' };
  const answer = await store.acquireLease({
    owner,
    mode: 'normal',
    run: null,
    kind: 'release',
    now: harness.now(),
    ttlMs: 10_000,
    isAlive: () => null,
  });
  assert.ok(answer.granted);
  const { fence } = answer.lease;
  return { fence, run: (await store.createRun(fence, contractPlan, 1, 'l')).run };
}
