import { systemRuntime } from '../../src/app/system-runtime.ts';
import { openSqliteStore } from '../../src/store/open.ts';

// Run as a process of its own: `open FILE`, or `append FILE FENCE RUN COUNT`.
const [what = '', file = '', fence = '', run = '', count = ''] = process.argv.slice(2);
const store = openSqliteStore(file, systemRuntime());
if (what === 'append') {
  for (let index = 0; index < Number(count); index += 1) {
    const note = { type: 'note', text: `${process.pid} ${index}` } as const;
    const [entry] = await store.append(Number(fence), Number(run), [note]);
    // Told only once it is written: whoever reads this may rely on it.
    process.stdout.write(`${entry?.seq}\n`);
  }
} else {
  process.stdout.write(`${await store.lastFence()}\n`);
}
await store.close();
