import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createDraftFolder } from '../../src/app/draft-folder.ts';

const faults = { point: () => {} };

function given(context: TestContext): { folder: string; outside: string; link: string } {
  const top = mkdtempSync(join(tmpdir(), 'unship-drafts-'));
  context.after(() => rmSync(top, { recursive: true, force: true }));
  const outside = join(top, 'outside');
  writeFileSync(outside, 'untouched');
  return { folder: top, outside, link: join(top, `incident-1.md.${process.pid}.new`) };
}

test('control 27: a link in the place of a draft is not written through', async (context) => {
  const { folder, outside, link } = given(context);
  symlinkSync(outside, link);
  symlinkSync(outside, join(folder, 'incident-1.md'));
  const file = await createDraftFolder(folder, faults).save(1, 'a draft');
  assert.equal(readFileSync(outside, 'utf8'), 'untouched');
  assert.ok(lstatSync(file).isFile());
  assert.equal(readFileSync(file, 'utf8'), 'a draft');
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('what a killed process left half-written goes with the next draft; what another is writing stays', async (context) => {
  const { folder } = given(context);
  const dead = 'incident-7.md.4194305.new';
  const alive = `incident-8.md.${process.ppid}.new`;
  for (const name of [dead, alive, 'notes.new']) writeFileSync(join(folder, name), 'half');
  await createDraftFolder(folder, faults).save(1, 'a draft');
  assert.deepEqual(readdirSync(folder).sort(), ['incident-1.md', alive, 'notes.new', 'outside']);
});

test('control 27: a thread that swaps links 10,000 times gets nothing of a draft written outside', async (context) => {
  const { folder, outside, link } = given(context);
  const worker = new Worker(new URL('../support/links-worker.ts', import.meta.url), {
    workerData: { links: [link], target: outside, times: 10_000 },
  });
  let swapping = true;
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject).once('message', () => resolve());
  }).finally(() => {
    swapping = false;
  });
  const drafts = createDraftFolder(folder, faults);
  let tries = 0;
  // The link may win the race: then saving fails, and that is as it should be.
  for (; swapping; tries += 1) await drafts.save(1, 'a draft').catch(() => undefined);
  await ended;
  assert.ok(tries > 0);
  assert.equal(readFileSync(outside, 'utf8'), 'untouched');
});
