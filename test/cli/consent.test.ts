import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Application, ExecuteOptions } from '../../src/domain/application.ts';
import { UnshipError } from '../../src/domain/errors.ts';
import type { Plan, Refusal } from '../../src/domain/plan.ts';
import type { RunStatus } from '../../src/domain/run.ts';
import { type DriveOptions, drive, plainConfiguration, temporaryFolder, writeFiles } from './program.ts';
import { losingPlan, samplePlan, sampleRelease, sampleResult, sampleStatus } from './samples.ts';

interface Attempt {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What reached the engine; empty when the plan was not run. */
  readonly executed: readonly { readonly plan: Plan; readonly options: ExecuteOptions }[];
}

async function rollback(
  context: TestContext,
  plan: Plan | Refusal,
  words: readonly string[],
  options: DriveOptions = {},
  status: RunStatus = 'done',
): Promise<Attempt> {
  const executed: { plan: Plan; options: ExecuteOptions }[] = [];
  const application: Partial<Application> = {
    releases: async () => [sampleRelease('r42'), sampleRelease('r41')],
    releasesOf: async () => [sampleRelease('r42'), sampleRelease('r41')],
    planRollback: async () => plan,
    execute: async (given, how) => {
      executed.push({ plan: given, options: how });
      return sampleResult({ status });
    },
  };
  const ended = await drive(context, ['rollback', ...words], application, options);
  return { ...ended, executed };
}

test('without a terminal and without --yes it is refused with exit code 3', async (context) => {
  const { code, executed, stderr } = await rollback(context, samplePlan(), []);
  assert.equal(code, 3);
  assert.match(stderr, /confirmation-needed/);
  assert.deepEqual(executed, []);
});

test('--yes confirms a plan that loses nothing', async (context) => {
  const { code, executed, stdout, stderr } = await rollback(context, samplePlan(), [
    '--yes',
    '-m',
    'it 500s',
  ]);
  assert.equal(code, 0);
  assert.match(stdout, /^Rolled back r42 -> r41/);
  assert.match(stderr, /^Roll back vault/);
  assert.equal(executed[0]?.options.reason, 'it 500s');
  assert.equal(executed[0]?.options.acceptedLossHash, undefined);
});

test('--yes alone never consents to loss', async (context) => {
  const { code, executed, stderr } = await rollback(context, losingPlan(), ['--yes']);
  assert.equal(code, 3);
  assert.match(stderr, /consent-missing/);
  assert.match(stderr.replace(/\n\s*/g, ' '), /--plan c0ffee --accept-data-loss=c0ffee/);
  assert.deepEqual(executed, []);
});

test('loss that could not be counted needs consent like any other', async (context) => {
  const { code, executed } = await rollback(context, samplePlan({ lossUncertain: true }), ['--yes']);
  assert.equal(code, 3);
  assert.deepEqual(executed, []);
});

test('the hash of the plan whose loss was shown consents; a prefix of six digits is enough', async (context) => {
  for (const hash of ['c0ffee', 'C0FFEE0', losingPlan().hash]) {
    const attempt = await rollback(context, losingPlan(), ['--yes', `--accept-data-loss=${hash}`]);
    assert.equal(attempt.code, 0);
    assert.equal(attempt.executed[0]?.options.acceptedLossHash, losingPlan().hash);
  }
});

test('consent to another plan, or too short a hash, is none', async (context) => {
  const other = await rollback(context, losingPlan(), ['--yes', '--accept-data-loss=7f3a19']);
  assert.equal(other.code, 3);
  assert.match(other.stderr, /consent-missing/);
  for (const hash of ['c0ffe', 'zzzzzz', `${losingPlan().hash}0`]) {
    const attempt = await rollback(context, losingPlan(), ['--yes', `--accept-data-loss=${hash}`]);
    assert.equal(attempt.code, 2);
    assert.deepEqual(attempt.executed, []);
  }
});

test('--plan runs that plan and refuses any other as stale', async (context) => {
  const same = await rollback(context, samplePlan(), ['--plan', '7f3a19', '--yes']);
  assert.equal(same.code, 0);
  const other = await rollback(context, samplePlan(), ['--plan', 'abcdef', '--yes']);
  assert.equal(other.code, 3);
  assert.match(other.stderr, /plan-stale/);
  assert.deepEqual(other.executed, []);
});

test('--dry-run shows the plan and runs nothing, whatever else is said', async (context) => {
  const { code, stdout, executed } = await rollback(context, losingPlan(), [
    '-n',
    '--yes',
    '--accept-data-loss=c0ffee',
  ]);
  assert.equal(code, 0);
  assert.match(stdout, /LOSES 1,392/);
  assert.deepEqual(executed, []);
});

test('on a terminal: y runs it; Enter, n, Escape, the end of input change nothing', async (context) => {
  const yes = await rollback(context, samplePlan(), [], { terminal: true, types: 'y\n' });
  assert.equal(yes.code, 0);
  assert.equal(yes.executed.length, 1);
  assert.match(yes.stderr, /r42 -> r41: 7\.0 s, 0 rows lost\. Roll back to r41\? \[y\/N\] /);
  for (const types of ['\n', 'n\n', 'yy\n', '\x1b', null]) {
    const attempt = await rollback(context, samplePlan(), [], { terminal: true, types });
    assert.equal(attempt.code, 3, JSON.stringify(types));
    assert.match(attempt.stderr, /declined/);
    assert.deepEqual(attempt.executed, []);
  }
});

test('Ctrl-C at the question ends with 130 and changes nothing', async (context) => {
  const attempt = await rollback(context, samplePlan(), [], { terminal: true, types: '\x03' });
  assert.equal(attempt.code, 130);
  assert.deepEqual(attempt.executed, []);
});

test('on a terminal a loss is consented to by typing the target, even with --yes', async (context) => {
  const question = /Type r41 to lose 1,392 rows: /;
  const right = await rollback(context, losingPlan(), ['--yes'], { terminal: true, types: 'r41\n' });
  assert.match(right.stderr, question);
  assert.equal(right.code, 0);
  assert.equal(right.executed[0]?.options.acceptedLossHash, losingPlan().hash);
  for (const types of ['y\n', 'yes\n', '\n', 'r42\n', '\x1b', null]) {
    const wrong = await rollback(context, losingPlan(), [], { terminal: true, types });
    assert.equal(wrong.code, 3, JSON.stringify(types));
    assert.deepEqual(wrong.executed, []);
  }
});

test('--no-input asks nothing, even on a terminal', async (context) => {
  const attempt = await rollback(context, samplePlan(), ['--no-input'], { terminal: true, types: 'y\n' });
  assert.equal(attempt.code, 3);
  assert.deepEqual(attempt.executed, []);
});

test('a refusal of the planner exits with the code of its slug and says what is missing', async (context) => {
  const refusal: Refusal = {
    refused: true,
    slug: 'no-target',
    happened: 'no release before r1 was proven healthy',
    missing: ['a release whose watch ended healthy'],
    next: 'unship releases',
  };
  const attempt = await rollback(context, refusal, ['--yes', '--json']);
  assert.equal(attempt.code, 3);
  assert.equal((JSON.parse(attempt.stdout) as { slug: string }).slug, 'no-target');
  assert.match(attempt.stderr, /a release whose watch ended healthy/);
});

test('the exit code tells how the run ended', async (context) => {
  const codes: readonly (readonly [RunStatus, number])[] = [
    ['done', 0],
    ['failed', 1],
    ['undone', 1],
    ['blocked', 1],
    ['superseded', 1],
    ['paused', 5],
    ['waiting', 5],
  ];
  for (const [status, expected] of codes) {
    const { code } = await rollback(context, samplePlan(), ['--yes'], {}, status);
    assert.equal(code, expected, status);
  }
});

test('busy is exit code 4', async (context) => {
  const ended = await drive(context, ['rollback', '--yes'], {
    releases: async () => [],
    releasesOf: async () => [],
    planRollback: async () => samplePlan(),
    execute: async () => {
      throw new UnshipError('busy', { happened: 'sam on web-1: unship release, for 3 min, at web.stage' });
    },
  });
  assert.equal(ended.code, 4);
});

test('--json: one document on standard output, everything else on standard error', async (context) => {
  const { stdout, stderr } = await rollback(context, samplePlan(), ['--yes', '--json']);
  assert.equal((JSON.parse(stdout) as { schema: string }).schema, 'unship.run/1');
  assert.match(stderr, /Roll back vault/);
});

test('a broken file falls back to the configuration of the last release, for whatever an emergency needs', async (context) => {
  const cwd = temporaryFolder(context);
  writeFiles(cwd, { 'unship.config.json': plainConfiguration });
  const application: Partial<Application> = {
    releases: async () => [sampleRelease('r42')],
    releasesOf: async () => [sampleRelease('r42')],
    status: async () => sampleStatus(),
    prepareRelease: async () => ({
      release: sampleRelease('r42'),
      plan: samplePlan({ kind: 'release', from: 'r41', to: 'r42' }),
      rehearsal: null,
    }),
    execute: async () => sampleResult({ kind: 'release' }),
  };
  const before = await drive(context, ['status'], application, { cwd });
  assert.equal(before.code, 0);
  const released = await drive(context, ['release', '--yes'], application, { cwd });
  assert.equal(released.code, 0, released.stderr);
  const good = JSON.parse(readFileSync(join(cwd, 'unship.config.json'), 'utf8')) as object;
  writeFiles(cwd, { 'unship.config.json': JSON.stringify({ ...good, name: 7 }) });
  const after = await drive(context, ['status'], application, { cwd });
  assert.equal(after.code, 0, after.stderr);
  assert.match(after.stderr, /^warn {2}the configuration is broken/m);
  assert.equal(after.opened[0]?.definition.name, 'vault');
  const refused = await drive(context, ['release', '--yes'], application, { cwd });
  assert.equal(refused.code, 2);
});
