import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { completionScript } from '../../src/cli/completion.ts';
import { manualPage } from '../../src/cli/manual.ts';
import { globalOptions } from '../../src/cli/specification.ts';
import { commands } from '../../src/cli/table.ts';
import { temporaryFolder } from './program.ts';

/** What bash would offer for a line, through the generated script and bash itself. */
function offered(folder: string, line: readonly string[]): readonly string[] {
  const script = join(folder, 'completion.bash');
  // The values that the program would be asked for come from a function of the same name.
  const asked = 'unship() { [ "$*" = "complete --values releases" ] && echo "r41 r42"; }\n';
  writeFileSync(script, asked + completionScript('bash'));
  const program = `source ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _unship; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const ended = spawnSync('bash', ['-c', program, 'bash', 'unship', ...line], { encoding: 'utf8' });
  assert.equal(ended.stderr, '');
  return ended.stdout.split('\n').filter((word) => word !== '');
}

test('bash completes commands, second words, options and releases', (context) => {
  const folder = temporaryFolder(context);
  assert.deepEqual(offered(folder, ['roll']), ['rollback']);
  assert.deepEqual(offered(folder, ['quarantine', '']), ['list', 'lift']);
  assert.deepEqual(offered(folder, ['--env', 'staging', 'rollback', 'r4']), ['r41', 'r42']);
  assert.deepEqual(offered(folder, ['rollback', '--acc']), [
    '--accept-data-loss',
    '--accept-security-regression',
  ]);
  assert.deepEqual(offered(folder, ['plan', '--acc']), []);
  assert.deepEqual(offered(folder, ['plan', '--strategy', 'm']), ['migrate-down']);
  assert.deepEqual(offered(folder, ['explain', '']), []);
});

test('fish and zsh scripts name every command', () => {
  const words = new Set(commands.map((command) => command.name.split(' ')[0]));
  for (const shell of ['fish', 'zsh']) {
    const script = completionScript(shell);
    for (const word of words) assert.match(script, new RegExp(`\\b${word}\\b`));
  }
});

test('the manual page has every command and option, and no line that roff takes for a command', () => {
  const page = manualPage('1.2.3');
  for (const command of commands)
    assert.ok(page.includes(`unship ${command.name.replaceAll('-', '\\-')}`), command.name);
  for (const option of globalOptions) assert.ok(page.includes(option.name.replaceAll('-', '\\-')));
  for (const line of page.trimEnd().split('\n'))
    assert.match(line, /^(\.(TH|SH|TP|IP|B|BR|I|RS|RE)\b|[^.'])/);
});

test('the table is consistent: one meaning a name, no argument behind an optional one that is required', () => {
  const kinds = new Map<string, boolean>();
  for (const option of [...globalOptions, ...commands.flatMap((command) => command.options ?? [])]) {
    const takesValue = option.value !== undefined;
    assert.equal(kinds.get(option.name) ?? takesValue, takesValue, option.name);
    kinds.set(option.name, takesValue);
  }
  const names = commands.map((command) => command.name);
  assert.equal(new Set(names).size, names.length);
  for (const command of commands) {
    const required = (command.arguments ?? []).map((argument) => argument.required === true);
    assert.ok(!required.some((one, index) => one && required.slice(0, index).includes(false)), command.name);
  }
});

test('every command of the table can be loaded', async () => {
  for (const command of commands) assert.equal(typeof (await command.load()).run, 'function', command.name);
});
