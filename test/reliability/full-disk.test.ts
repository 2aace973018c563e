import assert from 'node:assert/strict';
import { it } from 'node:test';
import { buildProgram } from '../support/program.ts';
import { tryFullDisks } from './full-disk.ts';

const disks = Number(process.env.UNSHIP_FULL_DISKS ?? 20);

it('on a full disk a command says so, loses nothing, and goes on when there is room', async (test) => {
  await using program = await buildProgram();
  const { lacked, opinions } = await tryFullDisks(program, disks, (text) => test.diagnostic(text));
  assert.ok(lacked > disks / 2, `only ${lacked} of ${disks} commands lacked room`);
  assert.ok(opinions.agrees > disks, `judged from outside: ${JSON.stringify(opinions)}`);
});
