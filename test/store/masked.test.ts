import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Masker } from '../../src/cli/output/mask.ts';
import { plainKeeping } from '../../src/store/keeping.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import { contractPlan, contractRelease } from '../../src/testing/store-harness.ts';
import { findLeak, formsOf } from '../support/leaks.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';

const canary = 'canary-at-the-door/of+the?state';

test('control 7: whatever is handed to the store, a secret is in none of its files, in no form', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'unship-masked-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const masker = new Masker();
  masker.register([canary]);
  const { runtime } = new VirtualProcess(new VirtualTime());
  const keeping = { ...plainKeeping, mask: (text: string) => masker.mask(text) };
  const store = openSqliteStore(join(folder, 'state.db'), runtime, 0, keeping);
  context.after(() => store.close());
  const text = `it said ${formsOf(canary).slice(0, 4).join(' ')} ${Buffer.from(canary).toString('base64')}`;
  const step = {
    id: 'web.switch',
    action: 'web.switch',
    surface: 'web',
    after: [] as const,
    estimateMs: 1,
  } as const;
  const rest = {
    importance: 'required',
    onFailure: 'block',
    pointOfNoReturn: false,
    title: text,
    timeoutMs: 1,
  } as const;
  // Given every place where text enters
  const owner = { host: 'h', pid: 1, pidStartedAt: '1', user: 'ada', command: `unship ${text}` };
  const lease = { owner, mode: 'normal', run: null, kind: null, now: 0, ttlMs: 1000 } as const;
  const answer = await store.acquireLease({ ...lease, isAlive: () => true });
  assert.ok(answer.granted);
  const { fence } = answer.lease;
  const release = { ...contractRelease(1), artifact: { [text]: [text] } };
  const plan = {
    ...contractPlan,
    reason: text,
    steps: [{ ...step, ...rest, input: { said: { deep: [text] } } }],
  };
  const { run } = await store.createRun(fence, plan, 1, 'l', release);
  await store.append(fence, run, [
    { type: 'note', text },
    { type: 'run', status: 'blocked', note: text },
    { type: 'step', step: step.id, status: 'failed', attempt: 1, error: { slug: 'x', message: text } },
    {
      type: 'step',
      step: step.id,
      status: 'verified',
      attempt: 2,
      observed: text,
      output: { [text]: [text] },
    },
  ]);
  await store.quarantine(fence, { commit: 'c', release: 'r1', reason: text, since: 1 });
  await store.signal({ run, name: 'approval', payload: { by: text }, at: 1 });
  const incident = await store.openIncident({ run, release: 'r1', openedAt: 1, draft: text });
  await store.saveIncidentDraft(incident.id, `${text} ${text}`);
  // Then nothing of it is there, the words around it are, and the chain holds
  const files = readdirSync(folder);
  assert.ok(files.includes('state.db-wal'), files.join());
  for (const name of files) {
    assert.equal(findLeak(readFileSync(join(folder, name), 'latin1'), canary), undefined, name);
  }
  const [, note] = await store.journal(run);
  assert.equal(note?.type === 'note' ? note.text : '', 'it said *** *** *** *** ***');
  assert.equal(
    (await store.incident(incident.id))?.draft,
    'it said *** *** *** *** *** it said *** *** *** *** ***',
  );
});
