import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { foldRun } from '../../src/domain/run.ts';
import { dataLine, dataOutcome } from '../../src/incident/data-outcome.ts';
import { draftIncident, type IncidentFacts } from '../../src/incident/post-mortem/draft.ts';
import { escapeMarkdown } from '../../src/incident/post-mortem/markdown.ts';
import { timeline, utc } from '../../src/incident/timeline.ts';
import { badCommit, began, journalOf, release, rollbackPlan, rolledBack } from './story.ts';

function facts(more: Partial<IncidentFacts> = {}): IncidentFacts {
  return {
    incident: 12,
    run: 58,
    plan: rollbackPlan(),
    journal: rolledBack,
    attempts: [],
    bad: release('r42'),
    good: release('r41'),
    subjects: { [badCommit]: 'Add moods to entries' },
    liveSince: began - 600_000,
    detection: { at: began - 60_000, by: 'watch', text: '3 failed looks in a row: GET /health: 500' },
    requests: { failed: 0, total: 2_040, heldMs: 2_300 },
    messages: [{ audience: 'team', channel: 'slack', outcome: 'maybe-twice' }],
    ...more,
  };
}

function section(draft: string, title: string): string {
  return draft.split(`## ${title}\n\n`)[1]?.split('\n\n## ')[0] ?? assert.fail(`no section ${title}`);
}

test('the timeline tells what happened, when, and how long it took', () => {
  const story = timeline(rollbackPlan(), rolledBack);
  assert.equal(utc(began), '2026-07-03 14:31:07');
  assert.deepEqual(
    story.map(({ at, text, ms }) => [at - began, text, ms]),
    [
      [0, 'rollback begun', undefined],
      [3_000, 'web: switch to r41: r41 answers', 2_000],
      [5_000, 'vault: migrate-down 0018: failed: database-locked: pid 77 holds it', 1_000],
      [6_000, 'vault: migrate-down 0018: tried again (attempt 2)', undefined],
      [8_000, 'vault: migrate-down 0018: schema 17', 4_000],
      [10_000, 'desktop: pull 1.1.0: offers 1.0.0', 1_000],
      [12_000, 'unship: tell the team: failed: channel-failed: Slack: ECONNREFUSED', 1_000],
      [13_000, 'rollback done', undefined],
    ],
  );
});

test('what a superseded attempt did is told with the run that took over from it', () => {
  // Given an attempt that took the schema back and came no further
  const output = { archived: 212, archive: '/state/archives/0018.down.db', givenBack: 4 };
  const earlier = journalOf(
    { type: 'run', status: 'running' },
    { type: 'step', step: 'vault.migrate-down', status: 'verified', attempt: 1, output },
    { type: 'run', status: 'paused' },
    { type: 'run', status: 'superseded', note: 'by unship rollback' },
  );
  const last = rollbackPlan({
    reason: 'rollback',
    steps: rollbackPlan().steps.filter(({ surface }) => surface === 'web'),
    changes: rollbackPlan().changes.filter(({ surface }) => surface === 'web'),
    risk: { tables: [], dropped: [], exact: true },
  });
  const web = rolledBack.filter(
    (entry) => entry.type === 'run' || ('step' in entry && entry.step === 'web.switch'),
  );
  const journal = web.map((entry) => ({ ...entry, at: entry.at + 60_000 }));
  // When the next run, which had nothing to do for the database any more, is told
  const draft = draftIncident(
    facts({ plan: last, journal, attempts: [{ run: 57, plan: rollbackPlan(), journal: earlier }] }),
  );
  // Then nothing of the first is left out
  const data = section(draft, 'Data');
  assert.match(data, /^- In short: 1,392 rows kept, 212 archived, 0 lost$/m);
  assert.match(data, /Archived rows lie in .*0018\.down\.db/);
  assert.match(data, /Went away with the schema: entries\.mood/);
  assert.match(section(draft, 'What was affected'), /\| vault \| .* \| verified \|/);
  assert.match(section(draft, 'Timeline'), /superseded by another run: by unship rollback/);
  assert.match(section(draft, 'Summary'), /Reason given: entries can not be saved$/m);
  assert.match(section(draft, 'Summary'), /The way back took: 63 s/);
  assert.match(draft, /made from the journal of run 58 and of run 57, which it took over from/);
});

test('what was recorded and not given back is counted, and where it lies is named', () => {
  const output = { givenBack: 5, archived: 2, withheld: 3, withheldIn: '/state/archives/0018.up.db' };
  const journal = journalOf({
    type: 'step',
    step: 'vault.migrate-down',
    status: 'verified',
    attempt: 1,
    output,
  });
  const draft = draftIncident(facts({ journal }));
  const data = section(draft, 'Data');
  assert.match(data, /In short: 1,392 rows kept, 2 archived, 3 recorded ones NOT given back\n/);
  assert.match(data, /NOT given back: 3; they lie in \/state\/archives\/0018\.up\.db/);
  assert.match(draft, /Decide what becomes of the recorded rows that were not given back/);
});

test('undoing, notes and consent are part of the story', () => {
  const story = timeline(
    rollbackPlan(),
    journalOf(
      { type: 'consent', rowsLost: 24, by: 'ada' },
      { type: 'note', text: 'superseded run 57' },
      { type: 'step', step: 'web.switch', status: 'applying', attempt: 1 },
      { type: 'step', step: 'web.switch', status: 'undoing', attempt: 1 },
      { type: 'step', step: 'web.switch', status: 'undone', attempt: 1, observed: 'r42 answers' },
      { type: 'run', status: 'undone', note: 'cancelled by ada' },
    ),
  );
  assert.deepEqual(
    story.map(({ text, ms }) => [text, ms]),
    [
      ['ada agreed to lose up to 24 rows', undefined],
      ['superseded run 57', undefined],
      ['web: switch to r41: taken back: r42 answers', 1_000],
      ['rollback undone: everything it had done was taken back: cancelled by ada', undefined],
    ],
  );
});

test('rolled back is monitoring, never resolved; other ends have other words', () => {
  const status = (journal: IncidentFacts['journal']) => draftIncident(facts({ journal })).split('\n')[2];
  assert.match(status(rolledBack) ?? '', /^\*\*Status: monitoring: rolled back\. It is not resolved before/);
  assert.match(
    status(journalOf({ type: 'run', status: 'blocked' })) ?? '',
    /identified: the rollback is blocked/,
  );
  assert.match(status(journalOf({ type: 'run', status: 'running' })) ?? '', /under way/);
  assert.match(status(journalOf({ type: 'run', status: 'undone' })) ?? '', /investigating/);
});

test('the draft tells surfaces, data, messages and durations as they were recorded', () => {
  const draft = draftIncident(facts());
  assert.match(draft, /^# Incident 12: vault production, r42 rolled back to r41\n/);
  assert.match(section(draft, 'Summary'), /Bad release: r42 \(9c1e0f2, “Add moods to entries”\)/);
  assert.match(section(draft, 'Summary'), /The way back took: 10 s/);
  assert.match(section(draft, 'Impact'), /Time from going live to being back: 10 min/);
  assert.match(section(draft, 'Impact'), /failed during the rollback: 0 of 2,040/);
  assert.match(
    section(draft, 'What was affected'),
    /\| vault \| database \| 18 \| 17 \| migrate-down \| verified \|/,
  );
  const data = section(draft, 'Data');
  assert.match(data, /In short: 1,392 rows kept, 212 archived, 0 lost\n/);
  assert.match(data, /Archived rows lie in \/state\/archives\/0018\.db;/);
  assert.match(data, /Values given back: 5\n/);
  assert.match(data, /Went away with the schema: entries\.mood/);
  assert.match(data, /\| entries \| 1,392 \| 212 \| 0 \| 3 \|/);
  const times = section(draft, 'Timeline').split('\n');
  assert.equal(times[2], '| 2026-07-03 14:21:07 |  | r42 went live |');
  assert.equal(times[3], '| 2026-07-03 14:30:07 |  | noticed: 3 failed looks in a row: GET /health: 500 |');
  const told = section(draft, 'What people were told');
  assert.equal(told, '- team by slack: sent, perhaps twice\n- users: **not told**, no channel was used');
  assert.match(
    section(draft, 'What is not known'),
    /tell the team was given up: channel-failed: Slack: ECONNREFUSED/,
  );
  assert.ok(!section(draft, 'What is not known').includes('How many requests failed'));
});

test("the spec's post-rollback steps are a checklist with owner, due date and ticket", () => {
  const actions = section(draftIncident(facts()), 'Next actions').split('\n');
  for (const wanted of [
    'Analyse the cause',
    'Create a ticket',
    'Improve testing',
    'Improve the deployment process',
  ]) {
    assert.ok(
      actions.some((line) => line.startsWith(`- [ ] ${wanted}`)),
      wanted,
    );
  }
  assert.ok(actions.every((line) => line.endsWith('Owner: … Due: … Ticket: …')));
  assert.ok(actions.some((line) => line.includes('unship quarantine lift --fixed-by SHA 9c1e0f2')));
});

test('what is not known is said to be unknown', () => {
  const journal = journalOf(
    { type: 'run', status: 'running' },
    { type: 'step', step: 'web.switch', status: 'verified', attempt: 1, observed: 'r41 answers' },
    { type: 'step', step: 'vault.migrate-down', status: 'applying', attempt: 1 },
    { type: 'run', status: 'blocked' },
  );
  const plan = rollbackPlan({ risk: { tables: [], dropped: [], exact: false } });
  const draft = draftIncident(
    facts({
      incident: null,
      plan,
      journal,
      bad: null,
      liveSince: null,
      detection: null,
      requests: null,
      messages: [],
    }),
  );
  assert.match(draft, /Bad release: \*\*unknown\*\*/);
  assert.match(draft, /The way back took: \*\*unknown\*\*/);
  assert.match(draft, /\| vault \| database \| 18 \| 17 \| migrate-down \| \*\*not finished\*\* \|/);
  const open = section(draft, 'What is not known');
  assert.match(open, /migrate-down 0018 \(vault\.migrate-down\): applying, its effect was not observed/);
  assert.match(open, /pull 1\.1\.0 \(desktop\.pull\): not begun/);
  assert.match(open, /What vault\.migrate-down did to the data/);
  assert.match(open, /counts are lower bounds/);
  assert.match(open, /How many requests failed/);
  assert.match(section(draft, 'Data'), /not known yet: vault\.migrate-down has not ended/);
  assert.match(section(draft, 'What people were told'), /team: \*\*not told\*\*/);
});

test('data: a restore names its safety backup and its loss; what was undone counts for nothing', () => {
  const output = { backup: 'b1', safetyBackup: 'b2', rowsLost: 24, fingerprint: 'f' };
  const plan = rollbackPlan({
    steps: rollbackPlan().steps.map((step) =>
      step.surface === 'vault' ? { ...step, action: 'database.restore' } : step,
    ),
  });
  const done = journalOf({
    type: 'step',
    step: 'vault.migrate-down',
    status: 'verified',
    attempt: 1,
    output,
  });
  const outcome = dataOutcome(plan, foldRun(plan, done));
  assert.deepEqual([outcome.lost, outcome.safetyBackups], [24, ['b2']]);
  assert.equal(dataLine(outcome, plan), '1,392 rows kept, 0 archived, 24 lost');
  assert.match(draftIncident(facts({ plan, journal: done })), /Tell those whose data was lost \(24 rows\)/);
  const undone = [
    ...done,
    ...journalOf({ type: 'step', step: 'vault.migrate-down', status: 'undone', attempt: 1 }),
  ];
  assert.equal(dataOutcome(plan, foldRun(plan, undone)).lost, 0);
  const web = rollbackPlan({ steps: rollbackPlan().steps.filter((step) => step.surface !== 'vault') });
  assert.equal(dataLine(dataOutcome(web, foldRun(web, [])), web), 'database unchanged, every row kept');
});

const payloads = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '![tracker](https://evil.example/x.png)',
  '[click](javascript:alert(1))',
  '[a]: https://evil.example',
  '<https://evil.example>',
  'https://evil.example/x www.evil.example a@evil.example',
  '@everyone @channel @octocat/team',
  'fixes #1, see !2 and GH-3',
  '```\n# title\n```',
  '`x` ``y`` ~~~',
  '# heading',
  '> quote',
  '- [x] done',
  '1. one',
  '+ plus',
  '***\n---',
  'a | b | c\n|---|---|',
  '&lt;b&gt; &#60;i&#62;',
  '\\[x\\](y) \\',
  '$$x$$ ~~gone~~ __bold__',
  'one\r\ntwo\u2028three\u0085four',
  '\u202Eevil\u202C \u200B\u0000\u001b[31m',
  '{{ site.secret }} {% include x %}',
  '[^1]: note',
  '==mark== :tada:',
];

/** What a Markdown reader could take for markup in a line of escaped text. */
function unescapedMarkup(line: string): string | undefined {
  const bare = line.replace(/\\[!-/:-@[-`{-~]/g, 'x');
  const rules = [
    /[\\`*_{}[\]<>&|~$#@!^]/,
    /^\s*([-+=:]|\d+[.)])/,
    /:\/\//,
    /www\./i,
    /[\r\n\u2028\u2029\u0085\t]/,
    /\p{Cc}|[\u200B-\u200F\u202A-\u202E\u2066-\u2069]/u,
  ];
  return rules.find((rule) => rule.test(bare))?.source;
}

test('control 20: no payload is markup, mention, link or line once escaped', () => {
  for (const payload of payloads) {
    const escaped = escapeMarkdown(payload);
    assert.equal(unescapedMarkup(escaped), undefined, `${payload} -> ${escaped}`);
    // GitHub and GitLab look for mentions and references in what is shown, where the backslash is gone.
    assert.ok(!/[@#!][\p{L}\p{N}]/u.test(escaped.replaceAll('\\', '')), escaped);
  }
  assert.equal(escapeMarkdown('schema 17, 2.0 s (r41)'), 'schema 17, 2.0 s (r41)');
});

test('control 20: the same for any text, and nothing a person would read is lost', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc
      .array(fc.constantFrom(...payloads, '\\', '`', '\n', ' '), { maxLength: 6 })
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (input) => {
      const escaped = escapeMarkdown(input);
      assert.equal(unescapedMarkup(escaped), undefined, escaped);
      const shown = escaped.replace(/\\([!-/:-@[-`{-~])/g, '$1').replaceAll('\u2060', '');
      const said = input
        .replace(/\s+/g, ' ')
        .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu, '')
        .trim();
      assert.equal(shown, said);
    }),
    { numRuns: 2_000 },
  );
});

test('control 20: outside text changes nothing of the structure of a draft', () => {
  const plain = 'x';
  const draftWith = (text: string): string =>
    draftIncident(
      facts({
        plan: rollbackPlan({ reason: text, warnings: [text] }),
        subjects: { [badCommit]: text },
        detection: { at: began, by: 'person', text },
        messages: [{ audience: 'team', channel: text, outcome: 'not-sent', note: text }],
        journal: journalOf(
          { type: 'note', text },
          { type: 'run', status: 'blocked', note: text },
          {
            type: 'step',
            step: 'unship.notify',
            status: 'failed',
            attempt: 1,
            error: { slug: 'x', message: text },
          },
          { type: 'step', step: 'web.switch', status: 'verified', attempt: 1, observed: text },
        ),
      }),
    );
  // Lines, and in each the cells and the beginning: what a reader builds its blocks from.
  const structure = (draft: string): readonly string[] =>
    draft
      .split('\n')
      .map(
        (line) => `${/^(#+|- (\[ \])?|\|)?/.exec(line)?.[0]} ${line.replace(/\\\|/g, '').split('|').length}`,
      );
  const expected = structure(draftWith(plain));
  for (const payload of payloads) assert.deepEqual(structure(draftWith(payload)), expected, payload);
});
