import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { checkout, dbmate, example, list, start, useUpSearch, write, writeSamples } from './vault.ts';

/** Every object of the schema but dbmate's own ledger, in a fixed order. */
function schema(database: string): unknown[] {
  const connection = new DatabaseSync(database);
  try {
    return connection
      .prepare(
        `SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE '%schema_migrations%' ORDER BY name`,
      )
      .all();
  } finally {
    connection.close();
  }
}

async function status(url: string, path: string): Promise<number> {
  const response = await fetch(`${url}${path}`);
  await response.arrayBuffer();
  return response.status;
}

describe('the example journal, bad version', () => {
  test('is well by its health and broken in search; its down restores schema and moods, not the bodies', async () => {
    await using good = await checkout('good');
    await using bad = await checkout('bad');
    const database = join(good.folder, 'vault.db');
    await dbmate(good.folder, database, 'up');
    const goodSchema = schema(database);
    await using old = await start(good.folder, database);
    const samples = await writeSamples(old.url);
    assert.equal(await status(old.url, '/api/entries?q=the'), 200);

    await using early = await start(bad.folder, database);
    assert.equal(await status(early.url, '/health'), 503, 'the new code does not run on the old schema');
    assert.equal(await status(early.url, '/api/entries'), 500);

    await dbmate(bad.folder, database, 'up');
    await using current = await start(bad.folder, database);
    assert.equal(await status(current.url, '/health'), 200, 'a shallow check misses it');
    await useUpSearch(current.url);
    assert.equal(await status(current.url, '/api/entries?q=the'), 500, "the configuration's check sees it");
    assert.equal(await status(current.url, '/api/moods'), 200);
    const rewritten = await list(current.url);
    assert.equal(
      rewritten.find((entry) => entry.id === 5)?.body,
      'she said yes.  i repeat, for the record: she said yes.',
    );
    assert.equal((await write(current.url, { body: 'Written on r2.', mood: 'tired' })).status, 201);
    assert.equal((await write(current.url, { body: 'Without a mood, on r2.' })).status, 201);

    // Running since before the migration, and freshly started: neither works.
    await using late = await start(good.folder, database);
    for (const { url } of [old, late]) {
      assert.equal(await status(url, '/health'), 503);
      assert.equal(await status(url, '/api/entries'), 500);
      assert.equal((await write(url, { body: 'x' })).status, 500);
    }

    await dbmate(bad.folder, database, 'down');
    assert.deepEqual(schema(database), goodSchema);
    assert.equal(await status(old.url, '/health'), 200, 'the old process goes on without a restart');
    const entries = await list(old.url);
    assert.deepEqual(
      entries.map(({ id, mood, createdAt }) => ({ id, mood, createdAt })).slice(2),
      samples.map(({ id, mood, createdAt }) => ({ id, mood, createdAt })).toReversed(),
    );
    assert.deepEqual(
      entries.slice(0, 2).map(({ body, mood }) => ({ body, mood })),
      [
        { body: 'Without a mood, on r2.', mood: null },
        { body: 'Written on r2.', mood: 'tired' },
      ],
    );
    const changed = samples.filter(
      (sample) => entries.find(({ id }) => id === sample.id)?.body !== sample.body,
    );
    assert.equal(changed.length, samples.length, 'no body survived the migration');
  });

  test('differs from the good version by the listed files only', async () => {
    const files = (await readdir(join(example, 'versions/bad'), { recursive: true, withFileTypes: true }))
      .filter((item) => item.isFile())
      .map((item) => join(item.parentPath, item.name).slice(join(example, 'versions/bad/').length));
    assert.deepEqual(files.sort(), [
      'desktop/package.json',
      'migrations/0003_moods.sql',
      'server/journal.mjs',
    ]);
    const read = async (path: string) => JSON.parse(await readFile(join(example, path), 'utf8'));
    assert.deepEqual(await read('versions/bad/desktop/package.json'), {
      ...(await read('desktop/package.json')),
      version: '1.1.0',
    });
  });
});

describe('the example journal, expand version', () => {
  test('is broken in search, and the old code works on its schema', async () => {
    await using good = await checkout('good');
    await using expand = await checkout('expand');
    const database = join(good.folder, 'vault.db');
    await dbmate(good.folder, database, 'up');
    const goodSchema = schema(database);
    await dbmate(expand.folder, database, 'up');

    await using current = await start(expand.folder, database);
    const response = await write(current.url, { body: 'By the window.', mood: 'calm', place: 'Lisbon' });
    assert.equal(((await response.json()) as { place: string }).place, 'Lisbon');
    assert.equal(await status(current.url, '/health'), 200);
    await useUpSearch(current.url);
    assert.equal(await status(current.url, '/api/entries?q=the'), 500);

    await using old = await start(good.folder, database);
    assert.equal(await status(old.url, '/health'), 200);
    assert.deepEqual(
      (await list(old.url, '?q=window')).map(({ body, mood }) => ({ body, mood })),
      [{ body: 'By the window.', mood: 'calm' }],
    );
    assert.equal((await write(old.url, { body: 'Without a place.' })).status, 201);

    await dbmate(expand.folder, database, 'down');
    assert.deepEqual(schema(database), goodSchema);
  });
});
