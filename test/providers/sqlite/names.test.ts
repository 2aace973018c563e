import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { quoteName } from '../../../src/providers/sqlite/names.ts';

test('control 23: 10,000 generated names stay the names they are, or are refused', () => {
  using database = new DatabaseSync(':memory:');
  const name = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('"', '""', "'", '\n', '\0', 'a\0b', ']', '`', '; DROP'),
  );
  fc.assert(
    fc.property(name, (text) => {
      if (text.includes('\0')) {
        assert.throws(
          () => quoteName(text),
          (error) => isUnshipError(error) && error.slug === 'migration-forbidden',
        );
        return;
      }
      const statement = database.prepare(`SELECT 1 AS ${quoteName(text)}`);
      // A lone surrogate can't be stored as UTF-8 at all.
      assert.deepEqual(
        statement.columns().map((column) => column.name),
        [Buffer.from(text).toString()],
      );
    }),
    { numRuns: 10_000 },
  );
});
