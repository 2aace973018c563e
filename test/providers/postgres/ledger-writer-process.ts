import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/**
 * An application as it writes: `node ledger-writer-process.ts URL LEDGER NUMBER PAUSE_MS`. What the server has
 * acknowledged, and only that, is noted in the ledger. What was cut off is looked at once there is a connection again:
 * then either is right. Ends when its input does.
 */
const [url = '', ledger = '', number = '0', pause = '0'] = process.argv.slice(2);
const me = Number(number);
const writers = 3;

export interface Entry {
  readonly table: 'accounts' | 'entries' | 'log';
  readonly kind: 'insert' | 'update' | 'delete';
  readonly id: string;
  readonly values: { readonly [column: string]: string | null };
}

let isStopping = false;
process.stdin.resume().on('end', () => {
  isStopping = true;
});
let seed = 1_000 + me;
function random(below: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return Math.floor((seed / 2_147_483_648) * below);
}

let client: pg.Client | undefined;
async function connected(): Promise<pg.Client> {
  while (client === undefined) {
    const next = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    next.on('error', () => {});
    try {
      await next.connect();
      client = next;
    } catch {
      await next.end().catch(() => {});
      await sleep(20);
    }
  }
  return client;
}

function note(...entries: readonly Entry[]): void {
  appendFileSync(ledger, `${entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`);
}

/** Returns undefined when the connection went away: nobody knows then what became of it. */
async function attempt<T>(work: (session: pg.Client) => Promise<T>): Promise<T | undefined> {
  const session = await connected();
  try {
    return await work(session);
  } catch (error) {
    const code = (error as { readonly code?: string }).code ?? '';
    // Somebody of the migration stood in the way, or the column is called otherwise now: nothing was done.
    if (/^(40|23|42|55P03)/.test(code) && code !== '57P01') {
      await session.query('ROLLBACK').catch(() => {});
      throw error;
    }
    client = undefined;
    await session.end().catch(() => {});
    return undefined;
  }
}

let made = 0;
async function insertBoth(): Promise<void> {
  made += 1;
  const email = `w${me}-${process.pid}-${made}@example.test`;
  const body = `Entry ${made} of ${me}, it's "Mixed" \\ Case`;
  const write = await attempt(async (session) => {
    await session.query('BEGIN');
    const account = await session.query('INSERT INTO accounts (email) VALUES ($1) RETURNING id', [email]);
    const entry = await session.query(
      'INSERT INTO entries (account_id, body, mood) VALUES ($1, $2, $3) RETURNING id',
      [account.rows[0].id, body, 'new'],
    );
    await session.query('INSERT INTO log (what, id) VALUES ($1, $2)', [`made ${email}`, made]);
    await session.query('COMMIT');
    return { account: String(account.rows[0].id), entry: String(entry.rows[0].id) };
  });
  const ids = write ?? (await found(email));
  if (ids === undefined) return;
  note(
    { table: 'accounts', kind: 'insert', id: ids.account, values: { email } },
    {
      table: 'entries',
      kind: 'insert',
      id: ids.entry,
      values: { account_id: ids.account, body, mood: 'new' },
    },
    { table: 'log', kind: 'insert', id: `made ${email}`, values: {} },
  );
  mine.push(ids.entry);
}

async function found(email: string): Promise<{ account: string; entry: string } | undefined> {
  for (;;) {
    const rows = await attempt(async (session) =>
      session.query(
        'SELECT a.id AS account, e.id AS entry FROM accounts a JOIN entries e ON e.account_id = a.id WHERE email = $1',
        [email],
      ),
    );
    if (rows !== undefined) return rows.rows[0];
  }
}

const mine: string[] = [];
/** Rows that were there from the beginning, each with one writer. */
function anEntry(): string {
  return random(2) === 0 && mine.length > 0
    ? (mine[random(mine.length)] ?? '1')
    : String(random(300) * writers + me + 1);
}

async function change(column: 'mood' | 'body', id: string): Promise<void> {
  made += 1;
  const value = `${column} ${me}-${made}`;
  let done = await attempt(async (session) =>
    session.query(`UPDATE entries SET ${column} = $1 WHERE id = $2`, [value, id]),
  );
  if (done === undefined) {
    done = await again((session) =>
      session.query(`SELECT FROM entries WHERE ${column} = $1 AND id = $2`, [value, id]),
    );
  }
  if (done.rowCount === 1) note({ table: 'entries', kind: 'update', id, values: { [column]: value } });
}

async function again<T>(look: (session: pg.Client) => Promise<T>): Promise<T> {
  for (;;) {
    const answer = await attempt(look);
    if (answer !== undefined) return answer;
  }
}

async function remove(): Promise<void> {
  const id = mine.shift();
  if (id === undefined) return;
  const done = await attempt(async (session) => session.query('DELETE FROM entries WHERE id = $1', [id]));
  // None when the migration had deleted it already: then it is not this application that did.
  const isGone =
    done?.rowCount === 1 ||
    (done === undefined &&
      (await again((session) => session.query('SELECT FROM entries WHERE id = $1', [id]))).rowCount === 0);
  if (isGone) note({ table: 'entries', kind: 'delete', id, values: {} });
}

let planColumn = 'plan';
async function changePlan(): Promise<void> {
  made += 1;
  const id = String(random(100) * writers + me + 1);
  const value = `plan ${me}-${made}`;
  try {
    const done = await attempt(async (session) =>
      session.query(`UPDATE accounts SET ${planColumn} = $1 WHERE id = $2`, [value, id]),
    );
    if (done?.rowCount === 1) note({ table: 'accounts', kind: 'update', id, values: { plan: value } });
    if (done !== undefined) return;
    // Cut off: the name tells which of the two databases is the one now.
    for (const name of ['plan', 'tier']) {
      const seen = await again((session) =>
        session.query(`SELECT FROM accounts WHERE ${name} = $1 AND id = $2`, [value, id]),
      ).catch(() => undefined);
      if (seen?.rowCount === 1) note({ table: 'accounts', kind: 'update', id, values: { plan: value } });
    }
  } catch (error) {
    if ((error as { readonly code?: string }).code !== '42703') throw error;
    planColumn = planColumn === 'plan' ? 'tier' : 'plan';
  }
}

while (!isStopping) {
  const what = random(10);
  try {
    if (what < 4) await insertBoth();
    else if (what < 6) await change('mood', anEntry());
    else if (what < 8) await change('body', anEntry());
    else if (what < 9) await remove();
    else await changePlan();
  } catch (error) {
    const code = (error as { readonly code?: string }).code ?? '';
    if (!/^(40|55P03)/.test(code)) console.error(error);
  }
  if (Number(pause) > 0) await sleep(Number(pause));
}
await client?.end();
