import { beginCapture, endCapture } from '../../../src/providers/postgres/capture.ts';
import { abandon, captureOf, cutOver, prepare, undo } from '../../../src/providers/postgres/salvage.ts';

/**
 * One step in a process of its own: `node salvage-process.ts STEP POINT URL KEY FOLDER BIN`. At the named fault point
 * the process kills itself, as a crash would.
 */
const [step = '', deadly = '', url = '', key = '', folder = '', bin = ''] = process.argv.slice(2);
const faults = {
  point: (name: string): void => {
    if (name === `postgres.${deadly}`) process.kill(process.pid, 'SIGKILL');
  },
};
const { signal } = new AbortController();
const programs = { folder: bin, signal };

if (step === 'capture') {
  await beginCapture({ url, key, folder, programs, faults });
} else if (step === 'end') {
  await endCapture({ url, faults }, key);
} else {
  const capture = await captureOf({ url }, key);
  if (capture === null) throw new Error(`no capture ${key}`);
  const wish = { url, capture, programs, faults, signal, fills: {}, folder: `${folder}/spool` };
  if (step === 'prepare') await prepare(wish);
  if (step === 'cutover') await cutOver(wish, { blockedMs: 20_000 });
  if (step === 'undo') await undo(wish, { blockedMs: 20_000 });
  if (step === 'abandon') await abandon(wish);
}
