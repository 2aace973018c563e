import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';

/**
 * An application in a process of its own: `node postgres-writer.ts URL LEDGER NUMBER WRITERS ROWS`. Transactions of
 * three rows, about every 15 ms. A line in the ledger for each that was acknowledged: `TIME ID MARK ENTRY`, where
 * the entry is 0 when the migration had deleted it. Ends with its input.
 */
const [url = '', ledger = '', number = '0', writers = '1', rows = '1'] = process.argv.slice(2);
const me = Number(number);
let isStopping = false;
process.stdin.resume().on('end', () => {
  isStopping = true;
});

async function connected(): Promise<pg.Client> {
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch {
      await client.end().catch(() => {});
      await pause(10);
    }
  }
}

let client = await connected();
for (let made = 1; !isStopping; made += 1) {
  const mark = `${me}-${process.pid}-${made}`;
  const entry = ((made * 7_919) % Math.floor(Number(rows) / Number(writers))) * Number(writers) + me + 1;
  try {
    await client.query('BEGIN');
    const inserted = await client.query('INSERT INTO entries (account, body) VALUES ($1, $2) RETURNING id', [
      (made % 1_000) + 1,
      `new ${mark}`,
    ]);
    const updated = await client.query('UPDATE entries SET mood = $1 WHERE id = $2', [`mood ${mark}`, entry]);
    await client.query('INSERT INTO events (what) VALUES ($1)', [mark]);
    await client.query('COMMIT');
    appendFileSync(
      ledger,
      `${Date.now()} ${inserted.rows[0].id} ${mark} ${updated.rowCount === 1 ? entry : 0}\n`,
    );
  } catch {
    await client.end().catch(() => {});
    client = await connected();
  }
  await pause(15);
}
await client.end();
