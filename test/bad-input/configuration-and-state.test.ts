import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bin, type Finished, plainConfiguration, runProgram, temporaryFolder } from '../cli/program.ts';

/** It failed as it should: exit code, slug, no trace, and one JSON document that says the same. */
async function requireRefused(
  home: string,
  words: readonly string[],
  expected: { readonly exit: number; readonly slug: string; readonly told: RegExp },
): Promise<Finished> {
  const finished = await runProgram(home, [...words, '--json']);
  assert.equal(finished.code, expected.exit, finished.stdout + finished.stderr);
  const document = JSON.parse(finished.stdout) as { readonly [key: string]: unknown };
  assert.equal(document.slug, expected.slug);
  assert.equal(document.exit, expected.exit);
  assert.equal(document.done, 'nothing');
  assert.match(String(document.happened), expected.told);
  assert.doesNotMatch(finished.stderr, /^ {4}at /m);
  return finished;
}

function given(context: TestContext, configuration: string | Buffer, name = 'unship.config.json'): string {
  const home = temporaryFolder(context);
  writeFileSync(join(home, name), configuration);
  return home;
}

test('a configuration that never ends, or ends the program, is no success', async (context) => {
  for (const [text, told] of [
    ['await new Promise(() => undefined); export default {};', /top-level `await` in it never settles/],
    ['process.exit(0);', /calls process\.exit\(0\)/],
  ] as const) {
    const home = given(context, text, 'unship.config.mjs');
    await requireRefused(home, ['rollback', '--yes'], { exit: 2, slug: 'config-invalid', told });
    assert.ok(!existsSync(join(home, '.local')), 'a state folder was made');
  }
});

test('a byte order mark and line ends of Windows are read; UTF-16 and a folder are refused', async (context) => {
  const windows = given(context, `\u{feff}${plainConfiguration}\r\n`);
  assert.equal((await runProgram(windows, ['config'])).code, 0);
  const wide = given(context, Buffer.from(`\u{feff}${plainConfiguration}`, 'utf16le'));
  await requireRefused(wide, ['config'], {
    exit: 2,
    slug: 'config-invalid',
    told: /unship\.config\.json is UTF-16$/,
  });
  const folder = temporaryFolder(context);
  mkdirSync(join(folder, 'unship.config.json'));
  await requireRefused(folder, ['config'], { exit: 2, slug: 'config-invalid', told: /can't be read/ });
});

test('a damaged state is named, and left as it is', async (context) => {
  const home = given(context, plainConfiguration);
  const folder = join(home, '.local/state/unship/vault/production');
  const file = join(folder, 'state.db');
  for (const damage of [
    () => truncateSync(file, 5000),
    () => writeFileSync(file, Buffer.alloc(100_000)),
    () => writeFileSync(file, 'no database '.repeat(4000)),
  ]) {
    rmSync(folder, { recursive: true, force: true });
    assert.equal((await runProgram(home, ['status'])).code, 0);
    damage();
    const before = readFileSync(file);
    for (const words of [['status'], ['rollback', '--yes']]) {
      await requireRefused(home, words, { exit: 3, slug: 'state-corrupt', told: /state\.db/ });
    }
    assert.ok(readFileSync(file).equals(before), 'it was changed');
  }
  rmSync(folder, { recursive: true });
  mkdirSync(file, { recursive: true });
  await requireRefused(home, ['status'], { exit: 3, slug: 'state-corrupt', told: /unable to open/ });
});

test('a working folder that was removed: no configuration, and no trace', (context) => {
  const home = temporaryFolder(context);
  const script = 'mkdir gone; cd gone; rmdir ../gone; exec "$0" "$1" status --json';
  const ended = spawnSync('sh', ['-c', script, process.execPath, bin], {
    cwd: home,
    env: { PATH: process.env.PATH ?? '', HOME: home },
    encoding: 'utf8',
  });
  assert.equal(ended.status, 2, ended.stdout + ended.stderr);
  assert.equal((JSON.parse(ended.stdout) as { readonly slug: string }).slug, 'config-missing');
  assert.doesNotMatch(ended.stderr, /^ {4}at /m);
});

test('a state folder that can not be made is no defect', async (context) => {
  const home = given(context, plainConfiguration);
  const words = ['status', '--state-dir', 'unship.config.json'];
  await requireRefused(home, words, { exit: 2, slug: 'state-unsafe', told: /can't be made/ });
  assert.equal(readFileSync(join(home, 'unship.config.json'), 'utf8'), plainConfiguration);
});

const isRoot = process.getuid?.() === 0;

for (const [what, options, exit, slug] of [
  ['full', 'size=64k,mode=700', 3, 'disk-full'],
  ['read-only', 'ro,mode=700', 2, 'state-unsafe'],
] as const) {
  const skip = isRoot ? false : 'only root can mount a small disk';
  test(`a state folder on a ${what} disk is told before anything is done`, { skip }, async (context) => {
    const home = given(context, plainConfiguration);
    const disk = join(home, 'disk');
    mkdirSync(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk], { encoding: 'utf8' });
    if (mounted.status !== 0) return context.skip(`no disk could be mounted: ${mounted.stderr}`);
    try {
      await requireRefused(home, ['status', '--state-dir', disk], { exit, slug, told: /disk/ });
    } finally {
      spawnSync('umount', [disk]);
    }
  });
}
