import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ended } from '../support/world.ts';
import type { Observation } from './observer-process.ts';
import { type Heard, opinionOn } from './witness.ts';

const good: Observation = {
  web: { version: 'v1', bodies: ['a'] },
  schema: { columns: ['body', 'id', 'mood'], applied: ['0001'], entries: [{ id: 1, body: 'a' }] },
  offered: '1.0.0',
};
const bad: Observation = {
  web: { version: 'v2', bodies: ['A'] },
  schema: { columns: ['body', 'feeling', 'id'], applied: ['0001', '0002'], entries: [{ id: 1, body: 'A' }] },
  offered: '1.1.0',
};
const dead: Observation = { ...bad, web: null };

const done = `Rolled back r2 -> r1 in 0.4 s.
Observed  web GET http://127.0.0.1:8080/: 200 from r1, database 1 migrations
          applied, newest 0001, schema 0123456789ab, desktop offered: linux
          1.0.0; 1 file verified
Next      unship undo 3`;
const document = {
  ...{ schema: 'unship.run/1', run: 3, kind: 'rollback', status: 'done', from: 'r2', to: 'r1' },
  observed: ['web GET http://127.0.0.1:8080/: 200 from r1'],
};
const refused = 'FAIL  no-target: x\nHappened  y\nDone      nothing\nExit 3\n';
const undone = 'FAIL  Release r3 failed and was undone in 2 s.\nHappened  build-failed: x';

function heard(said: Partial<Ended>, world: Partial<Heard>): string {
  const { opinion } = opinionOn({
    ...{ args: ['rollback', '--yes'], before: bad, after: good, port: 8080, ...world },
    ended: { exit: 0, signal: null, stdout: '', stderr: '', ...said },
    versionOf: (release) => ({ r1: 'v1', r2: 'v2' })[release],
  });
  return opinion;
}

describe('whoever looks for himself believes nobody', () => {
  it('what is so is agreed to: on the screen, as a document, done, undone and refused', () => {
    assert.equal(heard({ stdout: done }, {}), 'agrees');
    const args = ['rollback', '--json'];
    const told = { ...good, schema: bad.schema, offered: bad.offered };
    assert.equal(heard({ stdout: JSON.stringify(document) }, { args, after: told }), 'agrees');
    assert.equal(heard({ stderr: refused, exit: 3 }, { before: bad, after: bad }), 'agrees');
    assert.equal(
      heard({ stdout: undone, exit: 1 }, { args: ['release'], before: bad, after: bad }),
      'agrees',
    );
    for (const [web, seen] of [
      ['r1', good],
      ['nothing', { ...good, web: null }],
      ['unknown', { ...good, web: null }],
    ] as const) {
      const stdout = `web       ${web}  so\ndatabase  0001  no backup\ndesktop   1.0.0  offered\n`;
      assert.equal(heard({ stdout }, { args: ['status'], before: seen, after: seen }), 'agrees');
    }
  });

  it('every lie is seen, whatever part of the world it is about', () => {
    const lies: readonly (readonly [Partial<Ended>, Partial<Heard>])[] = [
      [{ stdout: done }, { after: bad }],
      [{ stdout: done }, { after: dead }],
      [{ stdout: done }, { after: { ...good, schema: bad.schema } }],
      [{ stdout: done }, { after: { ...good, offered: null } }],
      [{ stdout: done, exit: 1 }, {}],
      [{ stdout: JSON.stringify(document) }, { args: ['rollback', '--json'], after: good }],
      [{ stdout: JSON.stringify({ ...document, status: 'blocked' }) }, { args: ['rollback', '--json'] }],
      [{ stdout: '' }, { args: ['rollback', '--json'] }],
      [{ stderr: refused, exit: 3 }, {}],
      [{ stdout: undone, exit: 1 }, { args: ['release'] }],
      [{ stdout: 'r1 serves' }, { args: ['status'] }],
      [{ stdout: 'web  r1  serving\n' }, { args: ['status'], before: dead, after: dead }],
      [{ stdout: 'web  r1  serving\n' }, { args: [], before: bad }],
      [{ stdout: 'database  0002  \n' }, { args: ['status'], before: good }],
      [{ stdout: 'desktop  nothing  \n' }, { args: ['status'], before: good }],
      [{ stdout: 'Would release.' }, { args: ['release', '--dry-run'] }],
    ];
    for (const [said, world] of lies) assert.equal(heard(said, world), 'contradicts', JSON.stringify(said));
  });

  it('nothing is held against who was killed, says that it is not done, or was not seen before', () => {
    assert.equal(heard({ signal: 'SIGKILL', exit: null }, {}), 'unknowable');
    const blocked = 'FAIL  Rollback r2 -> r1 is blocked after 3 s; what is done stays done.';
    assert.equal(heard({ stdout: blocked, exit: 1 }, {}), 'unknowable');
    assert.equal(heard({ stderr: refused, exit: 3 }, { before: null }), 'unknowable');
  });
});
