import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plainConfiguration, temporaryFolder, writeFiles } from './program.ts';

interface Started {
  readonly child: ChildProcess;
  text(): string;
  until(pattern: RegExp): Promise<void>;
  ended: Promise<number | null>;
}

/** A real process whose rollback lasts until it is told to pause; with `deaf` it does not listen. */
function startSlowRollback(context: TestContext, words: readonly string[], how: 'listens' | 'deaf'): Started {
  const home = temporaryFolder(context);
  writeFiles(home, { 'unship.config.json': plainConfiguration });
  const program = fileURLToPath(new URL('slow-program.ts', import.meta.url));
  const child = spawn(process.execPath, [program, how, 'rollback', '--yes', ...words], {
    cwd: home,
    env: { PATH: process.env.PATH ?? '', HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
  }
  return {
    child,
    text: () => text,
    until: async (pattern) => {
      const deadline = Date.now() + 20_000;
      while (!pattern.test(text)) {
        assert.ok(Date.now() < deadline, `never saw ${pattern}:\n${text}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    ended: once(child, 'close').then(([code]) => code as number | null),
  };
}

test('the first Ctrl-C pauses safely: exit code 5', async (context) => {
  const run = startSlowRollback(context, [], 'listens');
  await run.until(/Run 58/);
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 5);
  assert.match(run.text(), /SIGINT: pausing after the step under way/);
  assert.match(run.text(), /Run 58 is paused/);
});

test('the second one ends the program at once: exit code 130', async (context) => {
  const run = startSlowRollback(context, [], 'deaf');
  await run.until(/Run 58/);
  run.child.kill('SIGINT');
  await run.until(/pausing/);
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 130);
});

test('SIGTERM and a lost terminal pause too', async (context) => {
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    const run = startSlowRollback(context, [], 'listens');
    await run.until(/Run 58/);
    run.child.kill(signal);
    assert.equal(await run.ended, 5, signal);
  }
});

test('--timeout pauses like Ctrl-C', async (context) => {
  const run = startSlowRollback(context, ['--timeout', '300ms'], 'listens');
  assert.equal(await run.ended, 5);
  assert.match(run.text(), /The time is over/);
});
