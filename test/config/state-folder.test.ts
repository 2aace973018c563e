import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openStateFolder, type StateOwner, stateBase } from '../../src/config/state-folder.ts';

const owner: StateOwner = { uid: process.getuid?.(), home: '/home/alex' };

function temporary(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'unship-state-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('where state lies', () => {
  assert.equal(stateBase(undefined, {}, owner), '/home/alex/.local/state/unship');
  assert.equal(stateBase(undefined, { XDG_STATE_HOME: '/srv/state' }, owner), '/srv/state/unship');
  assert.equal(stateBase(undefined, { XDG_STATE_HOME: 'relative' }, owner), '/home/alex/.local/state/unship');
  assert.equal(stateBase('/else', { XDG_STATE_HOME: '/srv/state' }, owner), '/else');
  const root: StateOwner = { uid: 0, home: '/root' };
  assert.equal(stateBase(undefined, { UNSHIP_SYSTEM: '1' }, root), '/var/lib/unship');
  assert.equal(stateBase(undefined, {}, root), '/root/.local/state/unship');
  assert.equal(
    stateBase(undefined, { UNSHIP_SYSTEM: '1' }, { ...owner, uid: 1000 }),
    '/home/alex/.local/state/unship',
  );
});

test('one private folder per application and environment, made once', (context) => {
  const base = join(temporary(context), 'state', 'unship');
  const folder = openStateFolder(base, 'vault', 'production', owner);
  assert.equal(folder, join(base, 'vault', 'production'));
  for (const one of [base, join(base, 'vault'), folder]) assert.equal(statSync(one).mode & 0o777, 0o700, one);
  assert.equal(openStateFolder(base, 'vault', 'production', owner), folder);
  assert.notEqual(openStateFolder(base, 'vault', 'staging', owner), folder);
});

test('control 26: names that would leave the folder are refused', (context) => {
  const base = join(temporary(context), 'unship');
  for (const name of ['..', '.', '', '../x', 'a/b', 'con', '-rf', 'a\0b']) {
    assert.throws(() => openStateFolder(base, name, 'production', owner), { slug: 'name-invalid' }, name);
    assert.throws(() => openStateFolder(base, 'vault', name, owner), { slug: 'name-invalid' }, name);
  }
});

test('control 9: a folder that others can write to is refused, wherever it lies on the way', (context) => {
  for (const open of ['', 'vault', 'vault/production']) {
    for (const mode of [0o770, 0o707, 0o722]) {
      const base = join(temporary(context), 'unship');
      const folder = openStateFolder(base, 'vault', 'production', owner);
      chmodSync(join(base, open), mode);
      assert.throws(() => openStateFolder(base, 'vault', 'production', owner), { slug: 'state-unsafe' });
      chmodSync(join(base, open), 0o700);
      assert.equal(openStateFolder(base, 'vault', 'production', owner), folder);
    }
  }
});

test('control 9: a parent that others can write to is refused, unless a private folder above closes the way', (context) => {
  const top = temporary(context);
  const parent = join(top, 'shared');
  mkdirSync(parent);
  chmodSync(parent, 0o777);
  chmodSync(top, 0o755);
  assert.throws(() => openStateFolder(join(parent, 'unship'), 'vault', 'production', owner), {
    slug: 'state-unsafe',
    message: /shared can be written to by others/,
  });
  chmodSync(top, 0o700);
  openStateFolder(join(parent, 'unship'), 'vault', 'production', owner);
});

test('control 9: a folder of somebody else is refused', (context) => {
  const base = join(temporary(context), 'unship');
  openStateFolder(base, 'vault', 'production', owner);
  const stranger: StateOwner = { ...owner, uid: (owner.uid ?? 0) + 1 };
  assert.throws(() => openStateFolder(base, 'vault', 'production', stranger), { slug: 'state-unsafe' });
});

test('a link or a file in the place of the folder is refused', (context) => {
  const top = temporary(context);
  const base = join(top, 'unship');
  mkdirSync(base, { mode: 0o700 });
  mkdirSync(join(top, 'elsewhere'));
  symlinkSync(join(top, 'elsewhere'), join(base, 'vault'));
  assert.throws(() => openStateFolder(base, 'vault', 'production', owner), { slug: 'state-unsafe' });
  writeFileSync(join(base, 'other'), '');
  assert.throws(() => openStateFolder(base, 'other', 'production', owner), { slug: 'state-unsafe' });
});
