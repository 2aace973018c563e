import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { loadAssets } from './server/assets.mjs';
import { openJournal } from './server/journal.mjs';
import { createHandler } from './server/routes.mjs';

const drainMs = 8000;

const file = resolve(process.env.VAULT_DB ?? 'data/vault.db');
if (!existsSync(file)) {
  console.error(`There is no journal at ${file}. Make it with the migrations first: see README.md.`);
  process.exit(1);
}
const built = join(import.meta.dirname, 'dist');
const journal = openJournal(file);
const server = createServer(
  createHandler({
    journal,
    // Without a build, the sources are served as they are: for work on the page.
    assets: loadAssets(existsSync(built) ? built : join(import.meta.dirname, 'web')),
    release: process.env.UNSHIP_RELEASE ?? null,
    hosts: (process.env.VAULT_HOSTS ?? '').split(',').filter((host) => host !== ''),
  }),
);
server.requestTimeout = 15_000;
server.headersTimeout = 10_000;

server.on('error', (error) => {
  console.error(`The journal can't listen: ${error.message}`);
  process.exit(1);
});
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`Inner Scribe Vault: http://127.0.0.1:${server.address().port}/`);
});

/** Requests under way are let finish; the file is closed last, so that an acknowledged entry is in it. */
function stop() {
  const late = setTimeout(() => server.closeAllConnections(), drainMs);
  // A connection whose last request has just ended would otherwise be kept for the next one.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  server.close(() => {
    clearTimeout(late);
    clearInterval(idle);
    journal.close();
  });
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
