import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contextOf, makeWorld, type SqliteWorld } from './world.ts';

/** Tables of every kind of key, with a hostile name and hostile column names among them. */
const tables = [
  { name: 'notes', key: 'id', ddl: 'id INTEGER PRIMARY KEY' },
  { name: 'we"ird\n täble; --', key: 'k', ddl: 'k TEXT NOT NULL PRIMARY KEY COLLATE NOCASE' },
  {
    name: 'pairs',
    key: 'k',
    ddl: 'k TEXT, "se""cond" INTEGER DEFAULT 1, PRIMARY KEY ("se""cond", k)',
    without: true,
  },
  { name: 'plain', key: 'k', ddl: 'k TEXT' },
] as const;
const columns = ['a', 'b c', 'd"e'] as const;
const types = ['TEXT', 'INTEGER', '', 'REAL'] as const;

const q = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const literal = (value: string | number | null): string =>
  value === null ? 'NULL' : typeof value === 'number' ? String(value) : `'${value.replaceAll("'", "''")}'`;

const value = fc.oneof(
  fc.constantFrom(null, '', 'A', 'a', '01', '1', 1, 1.5, -7, 'Ünïcode', "it's", 'x;y'),
  fc.integer({ min: -9, max: 9 }),
);

interface Operation {
  readonly up: (table: string) => string;
  readonly down: (table: string, type: string) => string;
  readonly drops?: string;
  readonly renames?: string;
  readonly destroys?: boolean;
}

const column = fc.constantFrom(...columns);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc
    .tuple(column, fc.constantFrom('upper(X)', 'NULL', "X || '!'", '7', 'typeof(X)', 'X'))
    .map(([name, expression]) => ({
      up: (table: string) => `UPDATE ${q(table)} SET ${q(name)} = ${expression.replaceAll('X', q(name))}`,
      down: () => '',
    })),
  fc.tuple(column, value).map(([name, content]) => ({
    up: (table: string) => `DELETE FROM ${q(table)} WHERE ${q(name)} IS ${literal(content)}`,
    down: () => '',
  })),
  column.map((name) => ({
    drops: name,
    up: (table: string) => `ALTER TABLE ${q(table)} DROP COLUMN ${q(name)}`,
    down: (table: string, type: string) => `ALTER TABLE ${q(table)} ADD COLUMN ${q(name)} ${type}`,
  })),
  column.map((name) => ({
    renames: name,
    up: (table: string) => `ALTER TABLE ${q(table)} RENAME COLUMN ${q(name)} TO ${q(`${name} now`)}`,
    down: (table: string) => `ALTER TABLE ${q(table)} RENAME COLUMN ${q(`${name} now`)} TO ${q(name)}`,
  })),
);

const scenario = fc.record({
  table: fc.constantFrom(...tables),
  types: fc.tuple(...columns.map(() => fc.constantFrom(...types))),
  rows: fc.array(fc.tuple(value, value, value), { minLength: 1, maxLength: 6, size: 'max' }),
  operations: fc.array(operation, { minLength: 1, maxLength: 4, size: 'max' }),
  /** How the down changes the table: by ALTER, or by making it anew and filling it from the old one. */
  way: fc.constantFrom('alter', 'rebuild', 'rename-aside', 'copy-aside'),
  edits: fc.array(
    fc.record({
      row: fc.nat(5),
      kind: fc.constantFrom('update', 'update', 'update', 'delete', 'insert'),
      column,
    }),
    { maxLength: 4, size: 'max' },
  ),
});

type Row = { readonly [column: string]: unknown };

/** Operations that still apply: a column that was dropped or renamed is left alone afterwards. */
function sensible(
  operations: readonly Operation[],
  probe: (operation: Operation) => boolean,
): readonly Operation[] {
  return operations.filter(probe);
}

function rowsOf(world: SqliteWorld, table: string): Row[] {
  const found = world.application.prepare(`SELECT * FROM ${q(table)}`).all();
  return found.map((row) => ({ ...row }));
}

/** What a rebuilding down puts into a column that was dropped: 0, as a column of that type stores it. */
function filler(type: string | undefined): unknown {
  return type === 'TEXT' ? '0' : 0;
}

/** The table made anew with its columns from before; `now` are the names that those which are left have. */
function rebuildingDown(
  way: 'rebuild' | 'rename-aside' | 'copy-aside',
  table: (typeof tables)[number],
  create: (name: string) => string,
  now: ReadonlyMap<string, string>,
): string {
  const others = table.name === 'pairs' ? ['se"cond'] : [];
  const into = [table.key, ...others, ...columns].map(q).join(', ');
  const values = columns.map((name) => (now.has(name) ? q(now.get(name) ?? '') : '0'));
  const read = [q(table.key), ...others.map(q), ...values].join(', ');
  const fill = (to: string, from: string): string =>
    `INSERT INTO ${q(to)} (${into}) SELECT ${read} FROM ${q(from)}`;
  const { name } = table;
  const steps = {
    rebuild: [
      create('made anew'),
      fill('made anew', name),
      `DROP TABLE ${q(name)}`,
      `ALTER TABLE "made anew" RENAME TO ${q(name)}`,
    ],
    'rename-aside': [
      `ALTER TABLE ${q(name)} RENAME TO aside`,
      create(name),
      fill(name, 'aside'),
      'DROP TABLE aside',
    ],
    'copy-aside': [
      `CREATE TABLE aside AS SELECT * FROM ${q(name)}`,
      `DROP TABLE ${q(name)}`,
      create(name),
      fill(name, 'aside'),
      'DROP TABLE aside',
    ],
  };
  return steps[way].join(';\n');
}

test('property: no edit of the application is lost, rewritten values come back, the schema is the same', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ table, types: chosen, rows, operations, way, edits }) => {
      await using world = await makeWorld();
      const { application, port } = world;
      const definitions = columns.map((name, at) => `${q(name)} ${chosen[at] ?? ''}`);
      const [head, ...constraints] = table.ddl.split(', PRIMARY KEY');
      const tail = constraints.map((constraint) => `, PRIMARY KEY${constraint}`).join('');
      const without = 'without' in table ? ' WITHOUT ROWID' : '';
      const create = (name: string): string =>
        `CREATE TABLE ${q(name)} (${head}, ${definitions.join(', ')}${tail})${without}`;
      application.exec(create(table.name));
      const insert = (key: number, content: readonly unknown[], names: readonly string[]): void => {
        const into = [table.key, ...names].map(q).join(', ');
        const keyValue = table.key === 'id' ? key : `key${key}`;
        const values = [keyValue, ...content] as (string | number | null)[];
        application
          .prepare(`INSERT INTO ${q(table.name)} (${into}) VALUES (${values.map(() => '?').join(', ')})`)
          .run(...values);
      };
      for (const [at, content] of rows.entries()) insert(at + 1, content, columns);

      // Only what SQLite itself accepts in this order.
      application.exec('SAVEPOINT probe');
      const used = sensible(operations, (candidate) => {
        try {
          application.exec(candidate.up(table.name));
          return true;
        } catch {
          return false;
        }
      });
      application.exec('ROLLBACK TO probe; RELEASE probe');
      fc.pre(used.length > 0);
      const up = used.map((entry) => entry.up(table.name)).join(';\n');
      const typeOf = (entry: Operation): string => chosen[columns.indexOf(entry.drops as 'a')] ?? '';
      const down = [...used]
        .reverse()
        .map((entry) => entry.down(table.name, typeOf(entry)))
        .filter((text) => text !== '');
      const nowNames = new Map<string, string>(columns.map((name) => [name, name]));
      for (const entry of used) {
        if (entry.drops !== undefined) nowNames.delete(entry.drops);
        if (entry.renames !== undefined) nowNames.set(entry.renames, `${entry.renames} now`);
      }
      // Rows without any key can't be found again in a table that is made anew.
      const rebuilds = way !== 'alter' && table.name !== 'plain';
      const back = rebuilds ? rebuildingDown(way, table, create, nowNames) : down.join(';\n');
      const text = `-- migrate:up\n${up};\n-- migrate:down\n${back || 'SELECT 1'};\n`;
      const commit = world.commit({ '1_change.sql': text });

      const before = await port.observe(contextOf('look'), { releases: [], countRisk: false });
      const backup = await port.backup(contextOf('backup'), 'r2');
      const original = new Map(rowsOf(world, table.name).map((row) => [row[table.key], row]));
      const request = { release: 'r2', commit, versions: ['1'] } as const;
      await port.migrateUp(contextOf('up'), request);
      const untouched = await port.countRestoreRisk(contextOf('risk-0'), backup.id);
      assert.equal(
        untouched.tables.reduce((sum, entry) => sum + entry.lost, 0),
        0,
        'the migration is not the application',
      );

      const expected = new Map([...original].map(([key, row]) => [key, { ...row }]));
      const there = new Set(rowsOf(world, table.name).map((row) => row[table.key]));
      const edited = new Set<unknown>();
      for (const [at, edit] of edits.entries()) {
        const key = table.key === 'id' ? edit.row + 1 : `key${edit.row + 1}`;
        const name = nowNames.get(edit.column);
        if (edit.kind === 'insert') {
          const fresh = 100 + at;
          insert(fresh, name === undefined ? [] : [`app ${at}`], name === undefined ? [] : [name]);
          const freshKey = table.key === 'id' ? fresh : `key${fresh}`;
          const stored = rowsOf(world, table.name).find((row) => row[table.key] === freshKey) ?? {};
          const row: { [column: string]: unknown } = { [table.key]: freshKey };
          for (const other of Object.keys(original.values().next().value ?? {})) {
            // What the down itself puts into a dropped column is all that a fresh row can have.
            const isFilled = rebuilds && columns.includes(other as 'a') && !nowNames.has(other);
            row[other] = isFilled
              ? filler(chosen[columns.indexOf(other as 'a')])
              : (stored[nowNames.get(other) ?? other] ?? null);
          }
          expected.set(freshKey, row);
          edited.add(freshKey);
          there.add(freshKey);
        } else if (there.has(key) && edit.kind === 'delete') {
          application.prepare(`DELETE FROM ${q(table.name)} WHERE ${q(table.key)} = ?`).run(key);
          expected.delete(key);
          there.delete(key);
          edited.delete(key);
        } else if (there.has(key) && name !== undefined) {
          application
            .prepare(`UPDATE ${q(table.name)} SET ${q(name)} = ? WHERE ${q(table.key)} = ?`)
            .run(`app ${at}`, key);
          const stored = rowsOf(world, table.name).find((row) => row[table.key] === key) ?? {};
          Object.assign(expected.get(key) ?? {}, { [edit.column]: stored[name] });
          edited.add(key);
        }
      }
      const risk = await port.countRestoreRisk(contextOf('risk-1'), backup.id);
      assert.equal(
        risk.tables.reduce((sum, entry) => sum + entry.lost, 0),
        edited.size,
        'every written row is counted, once',
      );

      const atUp = rowsOf(world, table.name);
      const { withheld } = await port.migrateDown(contextOf('down'), request);
      assert.equal(withheld, 0, 'everything recorded has found its place');
      const after = await port.observe(contextOf('look-again'), { releases: [], countRisk: false });
      assert.equal(after.fingerprint, before.fingerprint, 'the schema is the one from before');
      const now = new Map(rowsOf(world, table.name).map((row) => [row[table.key], row]));
      assert.deepEqual(now, expected);

      await port.migrateUp(contextOf('undo'), request);
      const keysAgain = new Set(rowsOf(world, table.name).map((row) => row[table.key]));
      for (const row of atUp) {
        if (!edited.has(row[table.key])) assert.ok(keysAgain.has(row[table.key]), 'rows are there again');
      }
    }),
    { numRuns: Number(process.env.UNSHIP_PROPERTY_RUNS ?? 40), endOnFailure: false },
  );
});
