import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  collectProofs,
  controls,
  provenControls,
  securityPage,
  withTable,
} from '../../scripts/security-table.ts';

/** Controls that must have a test. */
const required: readonly number[] = [
  1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 19, 20, 25, 26, 27, 29, 35, 36, 37,
];

test('the page of security is the one that the tests make', () => {
  const page = readFileSync(securityPage, 'utf8');
  assert.equal(page, withTable(page, collectProofs()), 'npm run security-table');
});

test('every control that is promised has a test, and every number that a test carries is told', () => {
  const proofs = collectProofs();
  assert.deepEqual(
    required.filter((number) => !proofs.has(number)),
    [],
  );
  const told = new Set(controls.map(([number]) => number));
  assert.deepEqual(
    [...proofs.keys()].filter((number) => !told.has(number)),
    [],
  );
});

test('titles are read with one number and with several', () => {
  const titles = ['3: x', '3, 8: y', 'x: z'].map((title) => `test('control ${title}', () => {});`);
  assert.deepEqual(provenControls(titles.join('\n')), [3, 3, 8]);
});
