import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

/**
 * A disk that becomes full in the middle of a write takes a part of it and says how much; only the next write fails.
 * The same is had from a limit on the size of files. Whoever takes the first answer for a success has half a file.
 */
function withinOneBlock(program: string): { readonly status: number | null; readonly stderr: string } {
  const script = 'ulimit -f 1; exec "$0" --input-type=module -e "$1"';
  return spawnSync('bash', ['-c', script, process.execPath, program], { encoding: 'utf8' });
}

function folderFor(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'unship-short-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a module of ours exports, in the text of a program. */
function imported(module: string): string {
  return `(await import(${JSON.stringify(new URL(`../../src/${module}`, import.meta.url).href)}))`;
}

const long = 'x'.repeat(3000);

test('half a record of a backup is none, and the one before it stays', (context) => {
  const file = join(folderFor(context), 'record.json');
  writeFileSync(file, 'the one before');
  const call = `writeFileDurably(${JSON.stringify(file)}, ${JSON.stringify(long)})`;
  const ended = withinOneBlock(`${imported('databases/files.ts')}.${call}`);
  assert.match(ended.stderr, /EFBIG/);
  assert.equal(readFileSync(file, 'utf8'), 'the one before');
});

test('half a configuration is none, and does not stand in the way of the next try', (context) => {
  const folder = folderFor(context);
  const call = `writeConfiguration(${JSON.stringify(folder)}, ${JSON.stringify(long)})`;
  assert.match(withinOneBlock(`${imported('config/write.ts')}.${call}`).stderr, /EFBIG/);
  assert.ok(!existsSync(join(folder, 'unship.config.ts')));
});

test('a list of what git leaves out is never cut short', (context) => {
  const folder = folderFor(context);
  const file = join(folder, '.gitignore');
  writeFileSync(file, long);
  const ended = withinOneBlock(`${imported('config/write.ts')}.extendGitignore(${JSON.stringify(folder)})`);
  assert.match(ended.stderr, /EFBIG/);
  assert.equal(readFileSync(file, 'utf8'), long);
});

test('a checkout of which the disk took only a part is none', (context) => {
  const folder = folderFor(context);
  const root = join(folder, 'root');
  mkdirSync(root);
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();
  git('init', '--quiet');
  writeFileSync(join(root, 'page.html'), long);
  git('add', '--all');
  git('-c', 'user.name=T', '-c', 'user.email=t@example.org', 'commit', '--quiet', '-m', 'page');
  const [from, to] = [root, join(folder, 'tree')].map((path) => JSON.stringify(path));
  const call = `createSource(${from}).checkout('${git('rev-parse', 'HEAD')}', ${to}, new AbortController().signal)`;
  const ended = withinOneBlock(`await ${imported('providers/git/index.ts')}.${call}`);
  assert.match(ended.stderr, /EFBIG/);
  assert.ok(!existsSync(join(folder, 'tree')));
});
