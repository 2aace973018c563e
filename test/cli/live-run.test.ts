import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveRun } from '../../src/cli/output/live-run.ts';
import { Masker } from '../../src/cli/output/mask.ts';
import { paint, wantsColour } from '../../src/cli/output/paint.ts';
import { Terminal } from '../../src/cli/output/terminal.ts';
import type { RunEvent } from '../../src/domain/report.ts';
import { sampleStep } from './samples.ts';

interface Stage {
  readonly live: LiveRun;
  text(): string;
  /** Lets time pass; whatever looks at intervals looks. */
  pass(ms: number): void;
}

function stage(redraws: boolean, quiet = false): Stage {
  let out = '';
  let now = 0;
  const looks: { every: number; next: number; look: () => void }[] = [];
  const stream = { isTTY: redraws, columns: 80, write: (piece: string) => (out += piece) };
  const terminal = new Terminal({
    stdout: stream,
    stderr: stream,
    masker: new Masker(),
    colour: { stdout: false, stderr: false },
    redraws,
    quiet,
  });
  const live = new LiveRun({
    terminal,
    now: () => now,
    every: (ms, look) => {
      const entry = { every: ms, next: now + ms, look };
      looks.push(entry);
      return () => looks.splice(looks.indexOf(entry), 1);
    },
  });
  return {
    live,
    text: () => out,
    pass: (ms) => {
      const end = now + ms;
      for (;;) {
        const due = looks.filter((one) => one.next <= end).sort((a, b) => a.next - b.next)[0];
        if (due === undefined) break;
        now = due.next;
        due.next += due.every;
        due.look();
      }
      now = end;
    },
  };
}

const step = sampleStep('database.migrate-down', { title: 'migrate-down 0018', estimateMs: 2000 });
const last = sampleStep('desktop.publish-standby', {
  title: 'publishing 1.1.1',
  estimateMs: 4000,
  pointOfNoReturn: true,
});
const base = { type: 'step', run: 58, step, index: 3, total: 9, ms: 0 } as const;
const end: RunEvent = { type: 'run-ended', run: 58, status: 'done', ms: 7000 };

test('in a log: whole lines, the border of no return, and a sign of life every 10 seconds', () => {
  const { live, text, pass } = stage(false);
  live.onEvent({ type: 'run-started', run: 58, kind: 'rollback', total: 9 });
  live.onEvent({ ...base, state: 'started' });
  live.onEvent({ ...base, state: 'verified', observed: '212 archived, schema 17', ms: 2000 });
  live.onEvent({ ...base, step: last, index: 7, state: 'started' });
  pass(25_000);
  live.onEvent({ ...base, step: last, index: 7, state: 'progress', text: 'linux is out', ms: 25_000 });
  live.onEvent({
    ...base,
    step: last,
    index: 7,
    state: 'verified',
    observed: 'feed offers 1.1.1',
    ms: 26_000,
  });
  live.onEvent(end);
  pass(60_000);
  assert.equal(
    text(),
    `Run 58. Ctrl-C pauses it safely.
ok    3/9 database  212 archived, schema 17             2.0 s
--- no return below this line ---
wait  7/9 desktop   publishing 1.1.1                    10 s
wait  7/9 desktop   publishing 1.1.1                    20 s
ok    7/9 desktop   feed offers 1.1.1                   26 s
`,
  );
});

test('what a step tells of itself does not set its clock back; a watch tells its own time', () => {
  const { live, text, pass } = stage(false);
  live.onEvent({ ...base, step: last, state: 'started' });
  pass(8000);
  live.onEvent({ ...base, step: last, state: 'progress', text: 'linux is out' });
  pass(2000);
  assert.equal(
    text()
      .match(/^wait .*$/m)?.[0]
      .replace(/ +/g, ' '),
    'wait 3/9 desktop linux is out 10 s',
  );
  live.end();
  const watched = stage(false);
  const watch = sampleStep('unship.watch', { title: 'watch', estimateMs: 20_000 });
  watched.live.onEvent({ ...base, step: watch, state: 'started' });
  watched.pass(1000);
  watched.live.onEvent({ ...base, step: watch, state: 'progress', text: 'healthy, 1.0 s of 20 s' });
  watched.pass(9000);
  assert.equal(watched.text().replace(/ +/g, ' '), 'wait 3/9 unship healthy, 1.0 s of 20 s\n');
  watched.live.end();
});

test('a failure with a log is one line among the steps: the result shows it in full', () => {
  const { live, text } = stage(false);
  const happened = 'build of r3 failed: exit code 3\nline one of the log\nline two of the log';
  live.onEvent({ ...base, state: 'failed', error: { slug: 'build-failed', happened } });
  live.end();
  assert.match(text(), /^FAIL {2}3\/9 database {2}build of r3 failed: exit code 3 +0 ms\n$/);
});

test('every outcome of a step has its word', () => {
  const { live, text } = stage(false);
  const error = { slug: 'channel-failed', happened: 'the channel answered 503' };
  live.onEvent({ ...base, state: 'retrying', attempt: 2, error });
  live.onEvent({ ...base, state: 'skipped', error });
  live.onEvent({ ...base, state: 'failed', error });
  live.onEvent({ ...base, state: 'undone' });
  live.end();
  assert.deepEqual(text().match(/^\S+/gm), ['warn', 'skip', 'FAIL', 'undo']);
});

test('--quiet leaves out progress, never a failure', () => {
  const { live, text } = stage(false, true);
  live.onEvent({ ...base, state: 'verified', observed: 'fine' });
  live.onEvent({ ...base, state: 'failed', error: { slug: 'internal', happened: 'broken' } });
  live.end();
  assert.match(text(), /^FAIL {2}3\/9 database {2}broken +0 ms\n$/);
});

test('on a terminal only the steps under way are drawn again, and the taskbar is cleared at the end', () => {
  const { live, text, pass } = stage(true);
  live.onEvent({ type: 'run-started', run: 58, kind: 'rollback', total: 9 });
  live.onEvent({ ...base, step: last, index: 7, state: 'started' });
  pass(3000);
  assert.match(text(), /wait {2}7\/9 desktop {3}publishing 1\.1\.1 +3 of about 4 s\n$/);
  live.onEvent({ ...base, step: last, index: 7, state: 'verified', observed: 'feed offers 1.1.1', ms: 3100 });
  live.onEvent(end);
  const drawn = text().split('\x1b[1A\r\x1b[0J').length - 1;
  assert.ok(drawn >= 15, `${drawn}`);
  assert.ok(text().includes('\x1b]9;4;1;11\x1b\\'));
  assert.ok(text().endsWith('\x1b]9;4;0\x1b\\'));
  assert.equal(text().match(/no return below/g)?.length, 1);
});

test('colour repeats the words; NO_COLOR and --no-color win over everything', () => {
  const tty = { isTTY: true };
  assert.equal(wantsColour(tty, {}, false), true);
  assert.equal(wantsColour({ isTTY: false }, {}, false), false);
  assert.equal(wantsColour(tty, { NO_COLOR: '1', FORCE_COLOR: '1' }, false), false);
  assert.equal(wantsColour(tty, { NO_COLOR: '' }, false), true);
  assert.equal(wantsColour(tty, { FORCE_COLOR: '3' }, true), false);
  assert.equal(wantsColour({}, { FORCE_COLOR: '1' }, false), true);
  assert.equal(wantsColour(tty, { UNSHIP_PLAIN: '1', FORCE_COLOR: '1' }, false), false);
  assert.equal(wantsColour(tty, { TERM: 'dumb' }, false), false);
  assert.equal(paint('ok    web  r41'), '\x1b[32mok\x1b[39m    web  r41');
  assert.ok(paint('FAIL  blocked').startsWith('\x1b[31m'));
  assert.equal(paint('okay then'), 'okay then');
});
