import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createEvidenceFolder } from '../../src/app/evidence-folder.ts';
import { systemRuntime } from '../../src/app/system-runtime.ts';

function given(context: TestContext): string {
  const top = mkdtempSync(join(tmpdir(), 'unship-evidence-'));
  context.after(() => rmSync(top, { recursive: true, force: true }));
  return join(top, 'corrupt');
}

test('control 10: evidence is private, kept once for each damage, and never written over', (context) => {
  const folder = given(context);
  const setAside = createEvidenceFolder(folder, systemRuntime());
  const [first, again, other] = [setAside(3, 'a'), setAside(3, 'a'), setAside(3, 'b')];
  assert.equal(first, again);
  assert.notEqual(first, other);
  assert.equal(readdirSync(folder).length, 2);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(statSync(first ?? '').mode & 0o777, 0o600);
  assert.equal(readFileSync(first ?? '', 'utf8'), 'a\n');
});

test('where no copy can be made, that is said by giving no place', (context) => {
  const folder = given(context);
  writeFileSync(folder, 'a file where the folder should be');
  assert.equal(createEvidenceFolder(folder, systemRuntime())(3, 'a'), null);
});
