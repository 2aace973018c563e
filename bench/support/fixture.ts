import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Ended, runWell } from './processes.ts';

const fixture = fileURLToPath(new URL('../fixture', import.meta.url));

/** A plain-JavaScript program of `bench/fixture/peers`. */
export function peerProgram(name: string): string {
  return join(fixture, 'peers', name);
}

/** A copy of the measured application's sources. */
export function copyApplication(folder: string, release: 'good' | 'bad'): void {
  cpSync(join(fixture, 'app'), folder, { recursive: true });
  // Not in the fixture: there it would speak to this repository.
  writeFileSync(join(folder, '.gitignore'), 'dist/\nnode_modules/\n');
  writeRelease(folder, release);
}

/** `note` makes the file, and with it the commit, differ from others of the same release. */
export function writeRelease(folder: string, release: 'good' | 'bad', note = ''): void {
  writeFileSync(join(folder, 'src', 'release.mjs'), `export const release = '${release}';\n// ${note}\n`);
}

export async function buildApplication(folder: string): Promise<void> {
  await runWell({ program: process.execPath, arguments: ['build.mjs'], cwd: folder });
}

/** A repository with the good release in its first commit and the bad one in its second, checked out. */
export async function makeRepository(folder: string): Promise<{ good: string; bad: string }> {
  copyApplication(folder, 'good');
  await git(folder, ['init', '--quiet', '--initial-branch=main']);
  const good = await commitAll(folder, 'good');
  writeRelease(folder, 'bad');
  const bad = await commitAll(folder, 'bad');
  return { good, bad };
}

export async function commitAll(folder: string, message: string): Promise<string> {
  await git(folder, ['add', '--all']);
  await git(folder, ['commit', '--quiet', '-m', message]);
  return (await git(folder, ['rev-parse', 'HEAD'])).output.trim();
}

export function git(folder: string, parts: readonly string[]): Promise<Ended> {
  const person = ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'commit.gpgsign=false'];
  return runWell({ program: 'git', arguments: [...person, ...parts], cwd: folder });
}
