import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isOwnerAlive, runtimeWithFaults, systemRuntime, thisOwner } from '../../src/app/system-runtime.ts';

describe('the clock', () => {
  test('sleeps, and wakes at once when it is told to', async () => {
    const { clock } = systemRuntime();
    const begun = clock.monotonic();
    await clock.sleep(30);
    assert.ok(clock.monotonic() - begun >= 29);
    const told = new AbortController();
    const sleeping = clock.sleep(3_600_000, told.signal);
    told.abort();
    await sleeping;
    await clock.sleep(3_600_000, told.signal);
  });

  test('a sleep of months does not end at once', async () => {
    const { clock } = systemRuntime();
    const told = new AbortController();
    let ended = false;
    const sleeping = clock.sleep(100 * 86_400_000, told.signal).then(() => {
      ended = true;
    });
    await clock.sleep(50);
    assert.ok(!ended);
    told.abort();
    await sleeping;
  });
});

describe('whether an owner lives', () => {
  const me = thisOwner('maria', 'unship release');

  test('is known on this host, and tells a reused number from the process that had it', async () => {
    assert.equal(isOwnerAlive(me), true);
    assert.equal(isOwnerAlive({ ...me, pidStartedAt: '1' }), false);
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.once('close', resolve));
    assert.equal(isOwnerAlive({ ...me, pid: child.pid ?? 0 }), false);
  });

  test('is unknown on another host', () => {
    assert.equal(isOwnerAlive({ ...me, host: 'elsewhere' }), null);
    assert.equal(isOwnerAlive({ ...me, pidStartedAt: '' }), null);
  });
});

describe('faults', () => {
  test('are none unless they are asked for', () => {
    for (const value of [undefined, '', 'no', 'kill:', 'kill:x']) runtimeWithFaults(value).faults.point('a');
    const folder = mkdtempSync(join(tmpdir(), 'unship-faults-'));
    const { faults } = runtimeWithFaults(`record:${join(folder, 'places')}`);
    for (const name of ['a.before', 'a.after']) faults.point(name);
    assert.equal(readFileSync(join(folder, 'places'), 'utf8'), 'a.before\na.after\n');
    rmSync(folder, { recursive: true });
  });

  test('shift the clock of a process, in either direction, at once or later, and only when asked', () => {
    const shiftOf = (value: string | undefined): number => {
      const { clock } = runtimeWithFaults(value);
      return Math.round((clock.now() - Date.now()) / 60_000) * 60_000;
    };
    assert.deepEqual(
      [undefined, '', 'clock:', 'clock:x', 'kill:3,clock:+3600000', 'clock:-864000000', 'clock:60000@1'].map(
        shiftOf,
      ),
      [0, 0, 0, 0, 3_600_000, -864_000_000, 0],
    );
    const { clock, faults } = runtimeWithFaults('clock:-3600000@2');
    const before = clock.now();
    faults.point('a');
    assert.ok(clock.now() >= before);
    faults.point('b');
    assert.ok(clock.now() < before - 3_000_000);
  });
});
