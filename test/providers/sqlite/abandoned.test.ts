import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { contextOf, makeWorld } from './world.ts';

test('what a killed run had begun to copy goes with the next backup: nobody goes on with it', async () => {
  await using world = await makeWorld();
  const first = await world.port.backup(contextOf('first'), 'r2');
  const backups = join(world.root, 'state', 'backups');
  for (const ending of ['', '-wal', '-journal'])
    writeFileSync(join(backups, `r3-0123456789abcdef.db.partial${ending}`), 'half a database');
  const second = await world.port.backup(contextOf('second'), 'r3');
  const expected = [first, second].flatMap(({ id }) => [`${id}.db`, `${id}.json`]).sort();
  assert.deepEqual(readdirSync(backups).sort(), expected);
});
