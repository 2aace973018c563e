import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bin, plainConfiguration, runProgram, temporaryFolder, writeFiles } from './program.ts';

const packageFile = fileURLToPath(new URL('../../package.json', import.meta.url));
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { readonly version: string };

test('--version, also among other words', async (context) => {
  const home = temporaryFolder(context);
  for (const words of [['--version'], ['-v'], ['rollback', '-v'], ['--version', '--no-color']]) {
    assert.deepEqual(await runProgram(home, words), { code: 0, stdout: `${version}\n`, stderr: '' });
  }
  for (const words of [
    ['--version', '--json'],
    ['rollback', '-v', '--json'],
  ]) {
    const { code, stdout } = await runProgram(home, words);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { schema: 'unship.version/1', version });
  }
});

test('an old Node gets one sentence and exit code 2', async (context) => {
  const home = temporaryFolder(context);
  writeFiles(home, {
    'old.cjs': `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '12.22.12' } });`,
  });
  const nodeArguments = ['--require', join(home, 'old.cjs')];
  for (const words of [['--version'], ['rollback', '--yes']]) {
    assert.deepEqual(await runProgram(home, words, { nodeArguments }), {
      code: 2,
      stdout: '',
      stderr: 'unship needs Node 22.18 or newer, and this is Node 12.22.12.\n',
    });
  }
});

test('the launcher is written for parsers of 2019: no static import, no optional chaining, no nullish', () => {
  const text = readFileSync(fileURLToPath(new URL('../../bin/unship.js', import.meta.url)), 'utf8');
  assert.doesNotMatch(text, /^\s*(import|export)\s|\?\.|\?\?|\bawait\b|#\w+\s*[=(;]/m);
});

test('-h is harmless wherever it stands, even beside nonsense and a broken configuration', async (context) => {
  const home = temporaryFolder(context);
  writeFiles(home, { 'unship.config.json': 'broken' });
  for (const words of [
    ['-h'],
    ['--help'],
    ['rollback', 'r1', '-h', '--nonsense'],
    ['release', 'begin', '--help'],
  ]) {
    const { code, stdout, stderr } = await runProgram(home, words);
    assert.equal(code, 0, words.join(' '));
    assert.match(stdout, /^(Usage|unship takes)/);
    assert.equal(stderr, '');
  }
});

test('an unknown command or option: what was meant, exit code 2, nothing on standard output', async (context) => {
  const home = temporaryFolder(context);
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['rolback', 'r41'], /did you mean `rollback`\?\n[\s\S]*Next {6}unship rollback r41$/m],
    [['quarantine', 'lfit'], /Next {6}unship quarantine lift$/m],
    [['plan', '--detials'], /did you mean `--details`\?/],
    [['plan', '--accept-data-loss=abcdef'], /unship plan has no option `--accept-data-loss`/],
    [['frobnicate'], /Next {6}unship --help$/m],
    [['desktop'], /desktop needs a word more: desktop halt, desktop pull, desktop standby/],
  ];
  for (const [words, expected] of cases) {
    const { code, stdout, stderr } = await runProgram(home, words);
    assert.equal(code, 2, words.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, expected);
  }
});

test('wrong values are refused before anything is read', async (context) => {
  const home = temporaryFolder(context);
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['rollback', '--plan'], /--plan needs a value: --plan HASH/],
    [['rollback', '--env', '--json'], /--env needs a value/],
    [['rollback', '--yes=no'], /--yes takes no value/],
    [['rollback', 'r1', 'r2'], /rollback does not take `r2`/],
    [['rollback', '--', '-rf'], /`-rf` is no R/],
    [['rollback', '--strategy', 'hope'], /--strategy takes keep-schema, migrate-down/],
    [['status', '--timeout', 'soon'], /--timeout takes a duration/],
    [['approve'], /approve needs RUN/],
    [['complete', 'tcsh'], /SHELL is bash, zsh, fish/],
  ];
  for (const [words, expected] of cases) {
    const { code, stderr } = await runProgram(home, words);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, /usage-invalid/);
    assert.match(stderr, expected);
  }
});

test('--json answers errors with one document too', async (context) => {
  const home = temporaryFolder(context);
  for (const words of [
    ['plan', '--json'],
    ['rolback', '--json'],
    ['--json', 'rollback', '--plan'],
  ]) {
    const { code, stdout } = await runProgram(home, words);
    const document = JSON.parse(stdout) as { readonly schema: string; readonly exit: number };
    assert.equal(document.schema, 'unship.error/1');
    assert.equal(code, 2);
    assert.equal(document.exit, 2);
  }
});

test('no configuration: exit code 2 and the way on; it is not looked for above the repository', async (context) => {
  const home = temporaryFolder(context);
  const { code, stderr } = await runProgram(home, ['plan']);
  assert.equal(code, 2);
  assert.match(stderr, /^FAIL {2}config-missing/);
  assert.match(stderr, /^Next {6}unship init$/m);
});

test('a broken configuration is named with file and line, and nothing of it is printed but that', async (context) => {
  const home = temporaryFolder(context);
  writeFiles(home, {
    'unship.config.ts': [
      "import { defineApplication } from 'unship';",
      "import { server } from 'unship/providers/server';",
      'export default defineApplication({',
      "  name: 'vault',",
      '  environments: {',
      '    production: {',
      '      surfaces: {',
      '        web: server({',
      "          health: '/health',",
      '          switch: { gateway: { port: 80800 } },',
      '        }),',
      '      },',
      '    },',
      '  },',
      '});',
    ].join('\n'),
  });
  const { code, stderr } = await runProgram(home, ['config']);
  assert.equal(code, 2);
  assert.match(
    stderr.replace(/\n {10}/g, ' '),
    /unship\.config\.ts:10: environments\.production\.surfaces\.web\.switch\.gateway\.port/,
  );
});

test('a configuration in TypeScript loads in a commonjs package, and `unship` is the running program', async (context) => {
  const home = temporaryFolder(context);
  writeFiles(home, {
    'package.json': '{"name":"vault","type":"commonjs"}',
    'shared.ts': `export const port: number = 8080;`,
    'unship.config.ts': [
      "import { defineApplication, secret } from 'unship';",
      "import { server } from 'unship/providers/server';",
      "import { slack } from 'unship/providers/slack';",
      "import { port } from './shared.ts';",
      "console.log('printed by the configuration');",
      'export default defineApplication({',
      "  name: 'vault',",
      '  environments: {',
      '    staging: { surfaces: { web: server({ switch: { gateway: { port } } }) } },',
      '    production: {',
      '      surfaces: { web: server({ switch: { gateway: { port: 80 } } }) },',
      "      notifications: { team: [slack({ webhook: secret('SLACK_WEBHOOK') })] },",
      '    },',
      '  },',
      '});',
    ].join('\n'),
  });
  const { code, stdout, stderr } = await runProgram(home, ['config', '--json', '--env', 'production']);
  assert.equal(code, 2, stderr);
  const document = JSON.parse(stdout) as { readonly environment: string; readonly secrets: unknown };
  assert.equal(document.environment, 'production');
  assert.deepEqual(document.secrets, [
    { name: 'SLACK_WEBHOOK', set: false, problem: 'the environment variable SLACK_WEBHOOK is not set' },
  ]);
  assert.match(stderr, /printed by the configuration/);
});

test('control 7: a secret that the configuration prints does not reach the screen', async (context) => {
  const home = temporaryFolder(context);
  const canary = 'canary-5d1f-value-of-the-webhook';
  writeFiles(home, {
    'unship.config.mjs': [
      "console.error('leaked ' + process.env.HOOK);",
      'export default { name: "vault", environments: { production: {',
      '  surfaces: { web: { provider: "server", kind: "web", options: { switch: { gateway: { port: 80 } },',
      '    environment: { COPIED: process.env.HOOK } } } },',
      '  notifications: { team: [{ provider: "slack", options: { webhook: { $secret: "HOOK" } } }] } } } };',
    ].join('\n'),
  });
  const { code, stdout, stderr } = await runProgram(home, ['config'], { environment: { HOOK: canary } });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /COPIED/);
  assert.doesNotMatch(stdout + stderr, new RegExp(canary));
});

test('control 9: what the program writes is private to its user', async (context) => {
  const home = temporaryFolder(context);
  writeFiles(home, { 'unship.config.json': plainConfiguration });
  const { code } = await runProgram(home, ['config']);
  assert.equal(code, 0);
  assert.equal(statSync(join(home, '.cache')).mode & 0o777, 0o700);
  assert.equal(statSync(join(home, '.cache', 'unship', 'compile')).mode & 0o077, 0);
});

test('explain works offline and knows every slug by a near name', async (context) => {
  const home = temporaryFolder(context);
  const busy = await runProgram(home, ['explain', 'busy']);
  assert.match(busy.stdout, /^busy: another run holds this environment\n/);
  const near = await runProgram(home, ['explain', 'plan-stael']);
  assert.equal(near.code, 2);
  assert.match(near.stderr, /unship explain plan-stale/);
});

test('a reader that goes away does not make a command fail', async (context) => {
  const home = temporaryFolder(context);
  const child = spawn(process.execPath, [bin, 'explain'], {
    env: { PATH: process.env.PATH ?? '', HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(stderr, '');
  assert.equal(code, 0);
});
