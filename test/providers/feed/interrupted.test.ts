import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { feedFixture, work } from './harness.ts';

test('what a killed run was taking in goes with its undo; what a newer one takes in stays', async () => {
  await using fixture = await feedFixture();
  const target = await fixture.prepare('1.0.0');
  await fixture.open().stage(fixture.work(), target);
  const taking = (fence: number): string => join(fixture.private, 'staged', `.taking-${fence}-1.1.0`);
  for (const fence of [4, 6]) {
    mkdirSync(taking(fence));
    writeFileSync(join(taking(fence), '.unship-4-manifest.json'), '{');
  }
  await fixture.open().unstage(work(6), { ...target, version: '1.1.0' });
  assert.deepEqual(
    [4, 6].map((fence) => existsSync(taking(fence))),
    [false, true],
  );
});

test('work that is interrupted before it reads a file is rejected, and ends no process', async () => {
  await using fixture = await feedFixture({ url: undefined } as never);
  const target = await fixture.prepare('1.0.0');
  const port = fixture.open();
  const artifact = await port.stage(fixture.work(), target);
  await port.publish(fixture.work(), { ...target, artifact });
  const context = { ...fixture.look(), signal: AbortSignal.abort(new Error('enough')) };
  await assert.rejects(port.verifyStaged(context, target), /enough/);
  await assert.rejects(port.verifyOffered(context, '1.0.0'), /enough/);
  // An error of a stream comes after the rejection.
  await sleep(20);
});
