import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type WriteDownRequest, writeDownOf } from '../../src/app/write-down.ts';
import { isUnshipError } from '../../src/domain/errors.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';

let root = '';
let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start();
  root = mkdtempSync(join(tmpdir(), 'unship-write-down-'));
  mkdirSync(join(root, 'steps'));
  for (const [name, text] of [
    ['1_a.sql', '-- migrate:up\nCREATE TABLE a (id int);\n-- migrate:down\nDROP TABLE a;\n'],
    ['2_b.sql', '-- migrate:up\nALTER TABLE a ADD COLUMN b int;\n'],
    ['3_c.sql', '-- unship: restore-only\n-- migrate:up\nDROP TABLE a;\n'],
    ['README.md', 'not one of them'],
  ] as const) {
    writeFileSync(join(root, 'steps', name), text);
  }
});

after(async () => {
  rmSync(root, { recursive: true, force: true });
  await cluster?.[Symbol.asyncDispose]();
});

function request(more: Partial<WriteDownRequest> = {}): WriteDownRequest {
  const options = { url: { $secret: 'SHOP_URL' }, migrations: 'steps' };
  return {
    surfaces: {
      shop: { kind: 'database', provider: 'postgres', options },
      vault: { kind: 'database', provider: 'sqlite', options: { file: 'x.db' } },
    },
    root,
    processEnvironment: { SHOP_URL: cluster.url() },
    ...more,
  };
}

async function refused(asked: WriteDownRequest, slug: string, said: RegExp): Promise<void> {
  await assert.rejects(writeDownOf(asked), (error) => {
    assert.ok(isUnshipError(error), String(error));
    assert.equal(error.slug, slug);
    assert.match(`${error.details.happened} ${error.details.next ?? ''}`, said);
    assert.doesNotMatch(JSON.stringify(error.details), /hunter2hunter2/);
    return true;
  });
}

it('ends when it is told to, and leaves nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'unship-write-down-'));
  try {
    mkdirSync(join(folder, 'steps'));
    writeFileSync(join(folder, 'steps', '1_long.sql'), '-- migrate:up\nSELECT pg_sleep(120);\n');
    const told = new AbortController();
    const written = writeDownOf(request({ root: folder, signal: told.signal }));
    const ended = assert.rejects(
      written,
      (error) => isUnshipError(error) && error.slug === 'migration-failed',
    );
    const sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
    while ((await cluster.query(sleeping)).length === 0) await sleep(20);
    told.abort();
    await ended;
    assert.deepEqual(await cluster.query("SELECT 1 FROM pg_database WHERE datname LIKE 'unship_%'"), []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

describe('which way back is written', () => {
  it('without a version that of the newest migration that has none and ought to', async () => {
    const down = await writeDownOf(request());
    assert.equal(down.name, '2_b');
    assert.deepEqual(
      down.statements.map(({ sql }) => sql),
      ['ALTER TABLE "public"."a" DROP COLUMN "b"'],
    );
  });

  it('with a version that one, whatever it has', async () => {
    const down = await writeDownOf(request({ version: '1', surface: 'shop' }));
    assert.deepEqual(
      down.statements.map(({ sql }) => sql),
      ['DROP TABLE "public"."a"'],
    );
    const again = await writeDownOf(request({ version: '3_c' }));
    assert.match(again.statements[0]?.loses ?? '', /a comes back empty/);
  });

  it('what is not there is named', async () => {
    await refused(request({ version: '9' }), 'usage-invalid', /no migration 9/);
    await refused(request({ surface: 'vault' }), 'unknown-surface', /one of: shop/);
    await refused(request({ surfaces: {} }), 'unknown-surface', /PostgreSQL/);
    await refused(request({ root: join(root, 'steps') }), 'migration-invalid', /can not be read/);
    await refused(request({ processEnvironment: {} }), 'secret-missing', /SHOP_URL/);
  });

  it('a password is in no refusal', async () => {
    const url = 'hunter2hunter2:not an address';
    await refused(request({ processEnvironment: { SHOP_URL: url } }), 'config-invalid', /no address/);
    const nobody = 'postgres://u:hunter2hunter2@127.0.0.1:1/shop';
    await refused(
      request({ processEnvironment: { SHOP_URL: nobody } }),
      'database-unreachable',
      /127\.0\.0\.1:1/,
    );
  });
});
