import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schemaDifference } from '../../src/domain/schema-difference.ts';

test('a schema that is the same differs in nothing', () => {
  assert.equal(
    schemaDifference({ entries: '', 'entries.mood': 'TEXT' }, { entries: '', 'entries.mood': 'TEXT' }),
    null,
  );
});

test('what is missing, new or another is told by name', () => {
  const before = { 'entries.mood': 'TEXT', 'entries.body': '', 'entries (mood)': '(unique)' };
  const after = { 'entries.mood': "TEXT DEFAULT 'x'", 'entries.body': 'TEXT', 'entries.feeling': 'TEXT' };
  assert.equal(
    schemaDifference(before, after),
    "entries (mood) (unique) is missing; entries.body is TEXT, was plain; entries.feeling (TEXT) was not there before; entries.mood is TEXT DEFAULT 'x', was TEXT",
  );
  assert.equal(schemaDifference(after, { ...after, 'entries.body': '' }), 'entries.body is plain, was TEXT');
});

test('a table that went is told once, and not each of its parts', () => {
  const before = { moods: '', 'moods.id': 'INTEGER', 'moods index': 'id', entries: '' };
  assert.equal(schemaDifference(before, { entries: '' }), 'moods is missing');
});

test('long texts are cut, and more than six differences are counted', () => {
  const after = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`t.c${at}`, 'x'.repeat(100)]));
  const text = schemaDifference({}, after) ?? '';
  assert.match(text, /^t\.c0 \(x{79}…\) was not there before; /);
  assert.match(text, /; and 2 more$/);
});
