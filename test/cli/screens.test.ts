import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorScreen, reportOf } from '../../src/cli/errors.ts';
import { overview } from '../../src/cli/help.ts';
import { planScreen, planSummary } from '../../src/cli/output/plan-screen.ts';
import { runScreen } from '../../src/cli/output/run-screen.ts';
import { doctorScreen, statusScreen } from '../../src/cli/output/status-screen.ts';
import { UnshipError } from '../../src/domain/errors.ts';
import { afternoon, losingPlan, samplePlan, sampleRelease, sampleResult, sampleStatus } from './samples.ts';

const shown = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
const options = { releases: [sampleRelease('r42'), sampleRelease('r41')], madeAt: afternoon, details: false };

test('the plan fits a terminal of 80 columns and 24 lines and says everything that decides', () => {
  const lines = planScreen(samplePlan(), { ...options, run: 'unship rollback --plan 7f3a19' });
  assert.equal(
    shown(lines),
    `Roll back vault: r42 (9c1e0f2, unhealthy) -> r41 (4ab77d1, last good)

          now    after  what happens                     about
web       r42    r41    switch to the warm release       90 ms
desktop   1.1.0  1.1.1  halt; r41's code out as 1.1.1    4.0 s
database  18     17     archive, then migrate-down 0018  2.0 s

Why       r41 cannot run on schema 18: it reads entries.mood
Order     database, web, desktop
Time      writes held 2.3 s, all done 7.0 s
Data      1,392 rows kept, 212 archived, 0 lost
          archived, then dropped: entries.mood
No return step 4 of 4, publishing 1.1.1; before it: cancel
Other     keep-schema  impossible: see Why
          restore      9.0 s, LOSES 1,392 rows: entries 1,368, users 24

Nothing has changed. Plan 7f3a19, made 14:31:07.
Run       unship rollback --plan 7f3a19
`,
  );
  assert.ok(lines.length <= 24 && lines.every((line) => line.length <= 80));
});

test('a plan that loses rows says so, and which', () => {
  const text = shown(planScreen(losingPlan(), options));
  assert.match(text, /^Data {6}0 rows kept, 0 archived, LOSES 1,392\n {10}lost: entries 1,368, users 24$/m);
  assert.equal(planSummary(losingPlan()), 'r42 -> r41: 7.0 s, 1,392 rows lost');
  const uncertain = samplePlan({ lossUncertain: true });
  assert.match(shown(planScreen(uncertain, options)), /LOSES rows that could not be counted/);
  assert.equal(planSummary(uncertain), 'r42 -> r41: 7.0 s, loss could not be counted');
});

test('what is recorded and does not come back is never told as "0 lost"', () => {
  const plan = samplePlan();
  const tables = plan.risk.tables.map((one) => ({ ...one, withheld: 7 }));
  const risk = { ...plan.risk, tables };
  const planned = shown(planScreen({ ...plan, risk }, options));
  assert.match(planned, /^Data {6}1,392 rows kept, 212 archived, 7 NOT given back$/m);
  assert.match(planned, /not given back, kept in the record: entries 7/);
  const data = { kept: 10, archived: 2, lost: 0, withheld: 3 };
  assert.match(
    shown(runScreen(sampleResult({ data }))),
    /^Data {6}10 rows kept, 2 archived, 3 NOT given back$/m,
  );
});

test('--details adds every step and table', () => {
  const text = shown(planScreen(samplePlan(), { ...options, details: true }));
  assert.match(text, /^4 {2}desktop\.publish-standby {2}publishing 1\.1\.1 \(no return\) {2,}4\.0 s$/m);
  assert.match(text, /^entries\s+1,392\s+212\s+0\s+0$/m);
});

test('how a rollback ended', () => {
  assert.equal(
    shown(runScreen(sampleResult())),
    `Rolled back r42 -> r41 in 7.1 s.
Observed  web r41, schema 17, feed offers 1.1.1
Requests  0 of 2,040 failed, writes held 2.3 s
Data      1,392 rows kept, 212 archived, 0 lost
Not done  users not told: no channel configured
Open      r42 quarantined, deploys locked
Next      unship incident show 12
          unship undo 58           brings r42 back
`,
  );
});

test('a blocked rollback is a failure that says why', () => {
  const error = { slug: 'target-unhealthy', happened: 'GET /health: 500', done: 'nothing; r42 still serves' };
  const text = shown(
    runScreen(sampleResult({ status: 'blocked', error, next: [{ command: 'unship resume' }] })),
  );
  assert.match(text, /^FAIL {2}Rollback r42 -> r41 is blocked after 7\.1 s; what is done stays done\.$/m);
  assert.match(text, /^Happened {2}target-unhealthy: GET \/health: 500$/m);
  assert.match(text, /^Done {6}nothing; r42 still serves$/m);
});

test('status: the verdict, the way back, one line a surface', () => {
  assert.equal(
    shown(statusScreen(sampleStatus(), afternoon)),
    `vault: r42 UNHEALTHY, live 6 min. Way back: r41, 7.0 s, 0 lost.
web       r42    5.1 % of requests fail (r41: 0.2 %)
desktop   1.1.0  at 10 %, 37 desktops
database  18     backup 14:24, verified
Runs none, nothing open. Next: unship plan
`,
  );
  const nothing = statusScreen(sampleStatus({ live: null, wayBack: null, surfaces: [] }), afternoon);
  assert.equal(nothing[0], 'vault: nothing is released yet.');
  const lonely = statusScreen(sampleStatus({ wayBack: null }), afternoon);
  assert.match(lonely[0] ?? '', /No way back\./);
});

test('doctor: what is missing and the command that mends it', () => {
  const screen = doctorScreen({
    schema: 'unship.doctor/1',
    noWayBack: ['database'],
    surfaces: 3,
    rows: [
      { level: 'ok', subject: 'web', text: 'r41 warm, 4 more on disk' },
      {
        level: 'FAIL',
        subject: 'database',
        text: '0018_moods has no down migration',
        fix: 'write it in migrations/0018_moods.sql',
      },
      {
        level: 'warn',
        subject: 'desktop',
        text: 'no standby hotfix: 4 min slower',
        fix: 'unship desktop standby',
      },
    ],
  });
  assert.equal(
    shown(screen),
    `No way back for 1 of 3 surfaces.
ok    web       r41 warm, 4 more on disk
FAIL  database  0018_moods has no down migration
                fix: write it in migrations/0018_moods.sql
warn  desktop   no standby hotfix: 4 min slower
                fix: unship desktop standby
`,
  );
});

test('an error says what happened, what was done, what comes next, and where there is more', () => {
  const error = new UnshipError('target-unhealthy', {
    happened: 'GET /health: 500, 3 times in 2.1 s',
    done: 'nothing; r42 still serves',
    next: 'unship plan r40',
  });
  assert.equal(
    shown(errorScreen(reportOf(error))),
    `FAIL  target-unhealthy: the release to go to fails its own health check
Happened  GET /health: 500, 3 times in 2.1 s
Done      nothing; r42 still serves
Next      unship plan r40
More      unship explain target-unhealthy
Exit 3
`,
  );
});

test('what is no error of ours is a defect, with exit code 1 and no promise about what was done', () => {
  const report = reportOf(new TypeError('x is not a function'));
  assert.equal(report.slug, 'internal');
  assert.equal(report.exit, 1);
  assert.equal(report.done, undefined);
});

test('the help fits 80 columns and begins with what an emergency needs', () => {
  const lines = overview();
  assert.ok(
    lines.every((line) => line.length <= 80),
    lines.find((line) => line.length > 80),
  );
  assert.equal(
    lines.find((line) => /^[A-Z]\w+ /.test(line) && !/^Usage|^unship/.test(line)),
    'In an emergency',
  );
});
