import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import { connect } from '../../../src/providers/postgres/connection.ts';
import { loadParser, type Parse } from '../../../src/providers/postgres/parse.ts';
import { type Known, readKnown } from '../../../src/providers/postgres/statements/known.ts';
import {
  type LockMode,
  lockModes,
  type StatementVerdict,
} from '../../../src/providers/postgres/statements/verdict.ts';
import { judgeStatements } from '../../../src/providers/postgres/statements.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { grantsOfApp, oldCode, schema, statements, statementsOutside } from './statement-table.ts';

interface Observed {
  readonly locks: ReadonlyMap<string, LockMode>;
  readonly rewrites: readonly string[];
  readonly scans: readonly string[];
}

/** Relations that were there before, by OID: a statement may rename or drop them. */
type Relations = ReadonlyMap<string, { readonly name: string; readonly file: string }>;

/** Reading rows is what these are asked for, and they hold no lock that blocks anybody while they do. */
const readers: ReadonlySet<string> = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CreateTableAsStmt'],
  ...['RefreshMatViewStmt', 'DoStmt', 'TruncateStmt'],
]);

let cluster: PostgresCluster;
let client: pg.Client;
let known: Known;
let parse: Parse;

async function relations(): Promise<Relations> {
  const { rows } = await client.query<{ oid: string; name: string; file: string }>(
    `SELECT c.oid::text AS oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS name,
       c.relfilenode::text AS file
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^(pg_|information_schema$)'`,
  );
  return new Map(rows.map(({ oid, name, file }) => [oid, { name, file }]));
}

async function scansSoFar(): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ relid: string; scans: string }>(
    'SELECT relid::text AS relid, seq_scan::text AS scans FROM pg_stat_xact_user_tables',
  );
  return new Map(rows.map(({ relid, scans }) => [relid, Number(scans)]));
}

function strongest(
  rows: readonly { readonly relation: string; readonly mode: string }[],
  there: Relations,
): ReadonlyMap<string, LockMode> {
  const locks = new Map<string, LockMode>();
  for (const { relation, mode } of rows) {
    const name = there.get(relation)?.name;
    const words = mode
      .replace(/Lock$/, '')
      .replaceAll(/(?!^)([A-Z])/g, ' $1')
      .toLowerCase() as LockMode;
    const rank = lockModes.indexOf(words);
    if (name === undefined || rank === -1) continue;
    const held = locks.get(name);
    if (held === undefined || rank > lockModes.indexOf(held)) locks.set(name, words);
  }
  return locks;
}

/** Runs it for real in the transaction that is open and looks at what the server did. */
async function observe(sql: string): Promise<Observed> {
  const there = await relations();
  const scansBefore = await scansSoFar();
  await client.query(sql);
  const { rows } = await client.query<{ relation: string; mode: string }>(
    'SELECT relation::text AS relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL',
  );
  const now = await relations();
  const scans = await scansSoFar();
  const which = (isOne: (oid: string) => boolean): readonly string[] =>
    [...there].flatMap(([oid, { name }]) => (isOne(oid) ? [name] : [])).sort();
  return {
    locks: strongest(rows, there),
    rewrites: which((oid) => now.has(oid) && now.get(oid)?.file !== there.get(oid)?.file),
    scans: which((oid) => (scans.get(oid) ?? 0) > (scansBefore.get(oid) ?? 0)),
  };
}

function referred(): ReadonlySet<string> {
  return new Set(['teams', ...[...known.tables.values()].flatMap((table) => [...table.references.values()])]);
}

function sorted<Value>(map: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function judge(sql: string): StatementVerdict {
  const [verdict] = judgeStatements(parse('case.sql', sql), known);
  assert.ok(verdict !== undefined, sql);
  return verdict;
}

before(async () => {
  cluster = await PostgresCluster.start();
  await cluster.query('CREATE DATABASE cases');
  await cluster.query(`${schema}; ${grantsOfApp}`, 'cases');
  client = await cluster.connect('cases');
  await client.query("SET TimeZone = 'Europe/Berlin'");
  await using connection = await connect(cluster.url('cases'), { purpose: 'test' });
  known = await readKnown(connection);
  parse = await loadParser();
});

after(async () => {
  await client?.end();
  await cluster?.[Symbol.asyncDispose]();
});

describe('what a statement costs is what PostgreSQL does', () => {
  for (const sql of statements) {
    it(sql.replace(/\s+/g, ' '), async () => {
      const verdict = judge(sql);
      await client.query('BEGIN');
      try {
        const observed = await observe(sql);
        assert.equal(verdict.transaction, 'any');
        if (!verdict.isKnown) {
          assert.ok(
            verdict.breaksOld.length > 0 && verdict.changesRows.has('?'),
            'then everything is assumed',
          );
          return;
        }
        assert.deepEqual(sorted(verdict.locks), sorted(observed.locks));
        if (verdict.statement.kind !== 'TruncateStmt') {
          assert.deepEqual([...verdict.rewrites].sort(), observed.rewrites, 'tables written anew');
        }
        if (!readers.has(verdict.statement.kind)) {
          const parents = /REFERENCES|VALIDATE/.test(sql) ? referred() : new Set<string>();
          // Whether the table that a foreign key refers to is read whole or through its index is the planner's choice.
          const scans = observed.scans.filter((name) => verdict.scans.includes(name) || !parents.has(name));
          assert.deepEqual([...verdict.scans].sort(), scans, 'tables read as a whole');
        }
        // Where older code is said to run it does, with the rights that the application has.
        if (verdict.breaksOld.length === 0 && verdict.changesRows.size === 0) await client.query(oldCode);
      } finally {
        await client.query('ROLLBACK');
      }
    });
  }

  it('the older code of these tests runs on the schema before, and fails where a column goes', async () => {
    await client.query('BEGIN');
    await client.query(oldCode);
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await client.query('ALTER TABLE users DROP COLUMN age');
    await assert.rejects(client.query(oldCode), /column "age"/);
    await client.query('ROLLBACK');
  });
});

it('without facts of the database nothing is cheaper, and nothing that breaks older code runs', () => {
  for (const sql of statements) {
    const told = judge(sql);
    const [untold] = judgeStatements(parse('case.sql', sql));
    assert.ok(untold !== undefined);
    if (told.breaksOld.length > 0) assert.ok(untold.breaksOld.length > 0, sql);
    for (const table of told.rewrites) {
      if (sql.includes(table)) assert.ok(untold.rewrites.includes(table), sql);
    }
    for (const table of told.changesRows.keys()) {
      if (sql.includes(table)) assert.ok(untold.changesRows.has(table), sql);
    }
  }
});

describe('what can not run in a transaction', () => {
  for (const [sql, waitsFor] of statementsOutside) {
    it(sql, async () => {
      const verdict = judge(sql);
      assert.equal(verdict.transaction, 'outside');
      await client.query('BEGIN');
      await assert.rejects(client.query(sql), /cannot (run inside|be executed)|transaction block/);
      await client.query('ROLLBACK');

      const there = await relations();
      const holder = await cluster.connect('cases');
      const worker = await cluster.connect('cases');
      try {
        const { rows } = await worker.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        await holder.query(`BEGIN; ${waitsFor}`);
        const work = worker.query(sql).catch(() => undefined);
        let locks: ReadonlyMap<string, LockMode> = new Map();
        // It takes them one after the other: the last is the one that it waits for.
        for (
          let looks = 0;
          !isDeepStrictEqual(sorted(locks), sorted(verdict.locks)) && looks < 250;
          looks += 1
        ) {
          await sleep(20);
          const found = await client.query<{ relation: string; mode: string }>(
            'SELECT relation::text AS relation, mode FROM pg_locks WHERE pid = $1 AND relation IS NOT NULL',
            [rows[0]?.pid],
          );
          locks = strongest(found.rows, there);
        }
        assert.deepEqual(sorted(verdict.locks), sorted(locks));
        await holder.query('ROLLBACK');
        await work;
      } finally {
        await holder.end();
        await worker.end();
      }
    });
  }

  it('VACUUM FULL writes the table anew', async () => {
    const files = async (): Promise<string | undefined> =>
      [...(await relations()).values()].find(({ name }) => name === 'orders')?.file;
    const file = await files();
    await client.query('VACUUM FULL orders');
    assert.notEqual(await files(), file);
    assert.deepEqual(judge('VACUUM FULL orders').rewrites, ['orders']);
  });
});
