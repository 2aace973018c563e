import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

/** One commit about every 4 ms until it is told to stop; posts how long each took, with when it began. */
const database = new DatabaseSync(String(workerData), { timeout: 10_000 });
database.exec('PRAGMA synchronous = NORMAL');
const update = database.prepare('UPDATE entries SET edits = edits + 1 WHERE id = ?');
const commits: { at: number; ms: number }[] = [];
let running = true;
parentPort?.once('message', () => {
  running = false;
});
for (let id = 1; running; id = (id % 10_000) + 1) {
  const started = performance.timeOrigin + performance.now();
  update.run(id);
  commits.push({ at: started, ms: performance.timeOrigin + performance.now() - started });
  await pause(4);
}
parentPort?.postMessage(commits);
