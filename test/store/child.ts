import { systemRuntime } from '../../src/app/system-runtime.ts';
import { openPostgresStore } from '../../src/store/open-postgres.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Store } from '../../src/store/store.port.ts';

/** A file, or `postgres://…` of a server with the application behind a `#`. */
async function open(target: string): Promise<Store> {
  if (!target.startsWith('postgres:')) return openSqliteStore(target, systemRuntime());
  const [url = '', application = ''] = target.split('#');
  return await openPostgresStore({ url, application, environment: 'production' }, systemRuntime());
}

// Run as a process of its own: `open TARGET`, or `append TARGET FENCE RUN COUNT`.
const [what = '', target = '', fence = '', run = '', count = ''] = process.argv.slice(2);
const store = await open(target);
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
