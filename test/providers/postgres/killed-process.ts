import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createPostgres } from '../../../src/providers/postgres/index.ts';
import { Commits, contextOf, environmentIn, type Files, runtime } from '../sqlite/world.ts';

/**
 * One step in a process of its own: `node killed-process.ts ROOT URL STEP POINT`. At the named fault point the process
 * kills itself, as a crash would; with a fourth argument it gets that signal instead. Prints what the step returned.
 */
const [root = '', url = '', step = '', deadly = '', signal = 'SIGKILL'] = process.argv.slice(2);
const files = JSON.parse(readFileSync(join(root, 'files.json'), 'utf8')) as Files;
const commits = new Commits();
const commit = commits.add(files);
const { port } = createPostgres({ url }, environmentIn(root, commits.source()));
const faults = {
  point: (name: string): void => {
    if (name === deadly) process.kill(process.pid, signal);
  },
};
const context = contextOf(step, { runtime: { ...runtime, faults }, fence: 5 });
const request = { release: 'r2', commit, versions: ['2', '3'] } as const;
const backup = existsSync(join(root, 'backup')) ? readFileSync(join(root, 'backup'), 'utf8') : '';

const steps: { readonly [name: string]: () => Promise<unknown> } = {
  backup: () => port.backup(context, 'r2'),
  up: () => port.migrateUp(context, request),
  down: () => port.migrateDown(context, { ...request, versions: ['3', '2'] }),
  restore: () => port.restore(context, { backup, maximumRowsLost: 10 }),
  rehearse: () => port.rehearsal(context, join(root, 'rehearsal')),
};
console.log(JSON.stringify((await steps[step]?.()) ?? null));
