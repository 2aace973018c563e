import assert from 'node:assert/strict';
import { it } from 'node:test';
import { writtenDownScreen } from '../../src/cli/output/written-down.ts';
import type { WrittenDown } from '../../src/domain/report.ts';

const down: WrittenDown = {
  version: '7',
  name: '7_names',
  statements: [
    { sql: 'ALTER TABLE "a" RENAME COLUMN "y" TO "x"', isLossless: true, loses: null, stopsWhere: null },
    {
      sql: 'CREATE VIEW "v" AS SELECT 1;',
      isLossless: false,
      loses: 'what was written into a\nDROP TABLE b; -- goes away',
      stopsWhere: 'a.x is null in a row',
    },
  ],
  inTransaction: false,
  rowsNotTakenBack: ['rewrites a.x'],
  columnOrder: [],
  notCovered: ['statistics'],
  fingerprint: 'f',
};

it('a way back that was written is a file of SQL, and no name in it begins a statement', () => {
  const lines = writtenDownScreen(down);
  const statements = lines.filter((line) => line !== '' && !line.startsWith('-- '));
  assert.deepEqual(statements, ['ALTER TABLE "a" RENAME COLUMN "y" TO "x";', 'CREATE VIEW "v" AS SELECT 1;']);
  for (const told of [
    '-- 2 statements, 1 of them LOSSY; rows can stop 1.',
    '-- NOT TAKEN BACK: the up rewrites a.x.',
    '-- NOT COVERED: statistics',
    '-- It can not run in one transaction.',
    '-- lossless',
    '-- LOSSY: what was written into a DROP TABLE b; -- goes away',
    '-- FAILS where a.x is null in a row',
  ]) {
    assert.ok(lines.includes(told), told);
  }
});
