import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { commands } from '../../src/cli/table.ts';
import { drive, runProgram, temporaryFolder } from '../cli/program.ts';

const hostile = ['--no-such-option', '--upload-pack=x', '-Z', '--yes=no', '--env=', '--timeout=soon'];

test('every command refuses what it does not know, with a slug and one JSON document', async (context) => {
  for (const { name } of commands) {
    for (const word of hostile) {
      const words = [...name.split(' '), word, '--json'];
      const { code, stdout, stderr, opened } = await drive(context, words, {});
      assert.equal(code, 2, `${words.join(' ')}\n${stderr}`);
      const { slug } = JSON.parse(stdout) as { readonly slug: string };
      assert.match(slug, /^(usage-invalid|unknown-command)$/, words.join(' '));
      assert.equal(opened.length, 0, 'the application was opened');
    }
  }
});

test('every command takes an argument that looks like an option for none', async (context) => {
  for (const { name } of commands.filter((one) => one.arguments !== undefined)) {
    for (const word of ['-rf', '--upload-pack=x', '']) {
      const words = [...name.split(' '), '--json', '--', word];
      const { code, opened } = await drive(context, words, {});
      assert.equal(code, 2, words.join(' '));
      assert.equal(opened.length, 0, 'the application was opened');
    }
  }
});

test('without a configuration no command leaves anything behind', async (context) => {
  const home = temporaryFolder(context);
  for (const words of [
    ['rollback', '--yes'],
    ['release', '../../x', '--yes'],
    ['cancel', '--yes'],
  ]) {
    const { code, stderr } = await runProgram(home, words);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /config-missing/);
  }
  assert.deepEqual(
    readdirSync(home).filter((name) => name !== '.cache'),
    [],
  );
});
