import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Masker } from '../../../src/cli/output/mask.ts';
import { coverSecrets } from '../../../src/providers/server/kept-logs.ts';
import { findLeak } from '../../support/leaks.ts';

const canary = 'canary-of-a-log/with+signs';

function given(context: TestContext): { readonly log: string; cover(): Promise<void> } {
  const gateway = mkdtempSync(join(tmpdir(), 'unship-kept-logs-'));
  context.after(() => rmSync(gateway, { recursive: true, force: true }));
  mkdirSync(join(gateway, 'logs'));
  const masker = new Masker();
  masker.register([canary]);
  return {
    log: join(gateway, 'logs', 'r1.log'),
    cover: () => coverSecrets(gateway, (text) => masker.secretsIn(text)),
  };
}

function requireCovered(file: string, bytes: number): string {
  const text = readFileSync(file, 'latin1');
  assert.equal(findLeak(text, canary), undefined);
  assert.equal(text.length, bytes, 'it has another length');
  return text;
}

test('a log of several megabytes is covered in all its places, and everything else stays as it is', async (context) => {
  const { log, cover } = given(context);
  const line = `2026-11-25 ${canary} ${Buffer.from(canary).toString('hex')} ö ${'x'.repeat(1000)}\n`;
  writeFileSync(log, line.repeat(3000));
  await cover();
  const text = requireCovered(log, Buffer.byteLength(line) * 3000);
  const kept = Buffer.from(line)
    .toString('latin1')
    .replace(canary, '*'.repeat(canary.length))
    .replace(Buffer.from(canary).toString('hex'), '*'.repeat(canary.length * 2));
  assert.equal(text, kept.repeat(3000));
});

test('a line is looked at once it is whole, and a log that begins anew from its beginning', async (context) => {
  const { log, cover } = given(context);
  writeFileSync(log, `a\nb ${canary.slice(0, 10)}`);
  await cover();
  appendFileSync(log, `${canary.slice(10)} c\n`);
  await cover();
  assert.equal(requireCovered(log, 5 + canary.length + 2), `a\nb ${'*'.repeat(canary.length)} c\n`);
  // Put aside when it is full, over an older one, and emptied
  for (let round = 0; round < 2; round += 1) {
    appendFileSync(log, `${canary}\n`);
    copyFileSync(log, `${log}.1`);
    truncateSync(log, 0);
    appendFileSync(log, `${canary}\n`);
    await cover();
    requireCovered(log, canary.length + 1);
    assert.equal(findLeak(readFileSync(`${log}.1`, 'latin1'), canary), undefined);
  }
});

test('control 27: a link in the place of a log is not written through', async (context) => {
  const { log, cover } = given(context);
  const outside = join(log, '../../outside');
  writeFileSync(outside, `${canary}\n`);
  symlinkSync(outside, log);
  await assert.rejects(cover(), { code: 'ELOOP' });
  assert.equal(readFileSync(outside, 'utf8'), `${canary}\n`);
});
