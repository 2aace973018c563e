import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { recordResult } from './record.ts';

test('a long form replaces what its section said, or counts it in, and leaves the others as they are', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'unship-record-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'page.md');
  const result = {
    part: 'A simulation',
    command: 'npm run simulate',
    seeds: '1 to 1000000',
    counts: { schedules: 1_000_000 },
    durationMs: 60_000,
    violations: [],
  };
  recordResult({ ...result, part: 'E crash images', counts: { images: 7 } }, { file });
  recordResult(result, { file, adding: true });
  recordResult({ ...result, seeds: '5 to 1004', counts: { schedules: 1_000 } }, { file, adding: true });
  const page = readFileSync(file, 'utf8');
  assert.match(page, /seeds: 1 to 1000000; 5 to 1004\n- schedules: 1,001,000\n- duration: 120 s\n/);
  assert.match(page, /## E crash images\n[^#]*- images: 7\n/);
  recordResult(result, { file });
  assert.match(readFileSync(file, 'utf8'), /seeds: 1 to 1000000\n- schedules: 1,000,000\n/);
  assert.equal(readFileSync(file, 'utf8').match(/^## /gm)?.length, 2);
});
