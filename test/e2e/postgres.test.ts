import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { buildProgram, type Program } from '../support/program.ts';
import type { Version, World } from '../support/world.ts';
import { given, requireExit, requireServed } from './given.ts';

let program: Program;
let cluster: PostgresCluster;

before(async () => {
  [program, cluster] = await Promise.all([buildProgram(), PostgresCluster.start({ max_connections: 100 })]);
  await cluster.query('CREATE ROLE app LOGIN CREATEDB; GRANT pg_signal_backend TO app');
});

after(async () => {
  await Promise.all([program[Symbol.asyncDispose](), cluster[Symbol.asyncDispose]()]);
});

/** As people write it: a session for each request, so that the next one finds whatever database has the name. */
const serverSource = `import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from ${JSON.stringify(import.meta.resolve('pg'))};
const { version, column } = JSON.parse(readFileSync(join(import.meta.dirname, 'version.json'), 'utf8'));
async function answer(request, response) {
  if (request.url === '/health') return response.end(version);
  const client = new pg.Client({ connectionString: process.env.DATABASE_ADDRESS });
  await client.connect();
  try {
    if (request.method === 'POST')
      await client.query('insert into entries (body, ' + column + ') values ($1, $2)', ['By ' + version, column + ' of ' + version]);
    const { rows } = await client.query('select id, body, ' + column + ' from entries order by id');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ version, rows, environment: null }));
  } finally {
    await client.end();
  }
}
const server = createServer((request, response) => {
  request.resume().on('end', () => answer(request, response).catch((error) => {
    response.writeHead(500);
    response.end(error.message);
  }));
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
`;

const first: Version = {
  version: 'v1',
  column: 'mood',
  migrations: {
    '0001_entries.sql': `-- migrate:up
create table entries (id bigint generated always as identity primary key, body text not null, mood text not null default 'none');

-- migrate:down
drop table entries;
`,
  },
};

const bad = (down: string, declared = ''): Version => ({
  version: 'v2',
  column: 'feeling',
  migrations: {
    '0002_bad.sql': `${declared}-- migrate:up
alter table entries add column feeling text not null default 'unknown';
update entries set body = upper(body);
alter table entries drop column mood;

-- migrate:down
${down}`,
  },
});
const downward = `alter table entries add column mood text not null default 'none';
alter table entries drop column feeling;
`;

interface Given {
  readonly world: World;
  readonly database: string;
  rows(): Promise<readonly { readonly [column: string]: unknown }[]>;
}

let made = 0;

/** `r1`, good and live, with one row written by it; what comes is rehearsed. */
async function givenVault(context: TestContext): Promise<Given> {
  made += 1;
  const database = `vault${made}`;
  await cluster.query(`CREATE DATABASE ${database} OWNER app`);
  const address = cluster.url(database, 'app');
  const world = await given(context, program, { variables: { DATABASE_URL: address }, witness: false });
  world.write('server.mjs', serverSource);
  const web = world.webSurface(world.port, {});
  const vault = {
    provider: 'postgres',
    kind: 'database',
    options: { url: { $secret: 'DATABASE_URL' }, environment: 'DATABASE_ADDRESS' },
  } as const;
  world.configure({
    production: { ...world.environment('web', { rehearsal: 'required' }), surfaces: { web, vault } },
  });
  await world.commit(first);
  await world.expect(0, ['release', '--yes']);
  await world.page(world.port, 'POST');
  return { world, database, rows: () => cluster.query('select * from entries order by id', database) };
}

async function requireNothingLeft(database: string): Promise<void> {
  const left = await cluster.query<{ name: string }>(
    `select datname::text as name from pg_database where starts_with(datname::text, '${database}_unship_') and datname !~ '_kept_'`,
  );
  assert.deepEqual(left, []);
}

describe('an application whose database is PostgreSQL', { concurrency: 2 }, () => {
  it('a bad release is rehearsed, released, taken back with what was written since, and brought back again', async (context) => {
    const { world, database, rows } = await givenVault(context);
    await world.commit(bad(downward));
    await world.expect(0, ['release', '--yes']);
    await requireServed(world, 'r2', 'v2');
    await world.page(world.port, 'POST');
    assert.deepEqual(
      (await rows()).map(({ body }) => body),
      ['BY V1', 'By v2'],
    );
    assert.match((await world.expect(0, ['plan'])).stdout, /migrat/);
    const back = await world.expect(0, ['rollback', '--yes', '--json']);
    assert.equal((JSON.parse(back.stdout) as { data: { lost: number } }).data.lost, 0);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(
      (await rows()).map(({ body, mood }) => [body, mood]),
      [
        ['By v1', 'mood of v1'],
        ['By v2', 'none'],
      ],
    );
    await world.expect(0, ['undo', '--yes']);
    await requireServed(world, 'r2', 'v2');
    assert.deepEqual(
      (await rows()).map(({ body, feeling }) => [body, feeling]),
      [
        ['BY V1', 'unknown'],
        // Its migration runs over every row that is there, also over those that its own time had written.
        ['BY V2', 'feeling of v2'],
      ],
    );
    await world.expect(0, ['rehearse']);
    await requireNothingLeft(database);
  });

  it('restore-only: refused without consent, and with it exactly the rows are lost that were named', async (context) => {
    const { world, database, rows } = await givenVault(context);
    const before = await rows();
    await world.commit(bad('', '-- unship: restore-only\n'));
    await world.expect(0, ['release', '--yes']);
    await world.page(world.port, 'POST');
    requireExit(await world.run(['rollback', '--yes']), 3, 'consent-missing');
    const shown = await world.expect(0, ['plan', '--json']);
    const plan = JSON.parse(shown.stdout) as { hash: string; rowsLost: number };
    assert.equal(plan.rowsLost, 1);
    const back = await world.run(['rollback', '--yes', `--accept-data-loss=${plan.hash}`, '--json']);
    requireExit(back, 0);
    assert.equal((JSON.parse(back.stdout) as { data: { lost: number } }).data.lost, 1);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(await rows(), before);
    await requireNothingLeft(database);
    const doctor = await world.run(['doctor']);
    assert.match(doctor.stdout, /verified backups/);
  });
});
