import { openSync, writeSync } from 'node:fs';
import { isUnshipError, messageOf } from '../../src/domain/errors.ts';
import { workOn } from './work.ts';

// A process of its own: `FILE ACKNOWLEDGED ROUNDS PER-OPENING OPENINGS`. What the store has acknowledged is written
// to ACKNOWLEDGED before anything else is asked of it, one line for each commit.
const [file = '', acknowledged = '', rounds = '', perOpening = '', openings = ''] = process.argv.slice(2);
const told = openSync(acknowledged, 'a');
const extent = { rounds: Number(rounds), perOpening: Number(perOpening), openings: Number(openings) };

/** The first failure ends it where it happened: what follows would be another work than the one that is known. */
function fail(error: unknown): never {
  const slug = isUnshipError(error) ? error.slug : 'internal';
  writeSync(2, `FAIL  ${slug}: ${messageOf(error)}\n`);
  process.exit(1);
}

try {
  await workOn(file, extent, () => void writeSync(told, '.\n'), fail);
  process.stdout.write('whole\n');
} catch (error) {
  fail(error);
}
