import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MigrationTexts } from '../../src/databases/texts.ts';
import type { Migration } from '../../src/domain/migrations/migration-files.ts';
import type { Source } from '../../src/surfaces/source.port.ts';

test('what a killed process left half-written goes with the next text; what another is writing stays', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'unship-texts-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const dead = '.applied-0002.json.4194305.partial';
  const alive = `.applied-0002.json.${process.ppid}.partial`;
  for (const name of [dead, alive]) writeFileSync(join(folder, name), 'half');
  const texts = new MigrationTexts(folder, {} as Source, 'migrations', undefined);
  texts.keep({ version: '0001', declared: new Set() } as unknown as Migration);
  assert.deepEqual(readdirSync(folder).sort(), [alive, 'applied-0001.json']);
  assert.equal(texts.kept('0001')?.version, '0001');
});
