import type { DataAtRisk, TableRisk } from '../../domain/facts.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import {
  keyword,
  identifier as nameIn,
  type SqlStatement,
  splitStatements,
} from '../../domain/migrations/sql-statements.ts';
import type { Archive, ArchivedTable } from './archive.ts';
import { type Catalogue, findTable, readCatalogue, storedColumns, type Table } from './catalogue.ts';
import { type Connection, identifier } from './connection.ts';
import { exactTexts } from './core.ts';
import { ownSchema } from './names.ts';
import { texts } from './record.ts';

/** One statement's name of a table, with or without its schema, at a place in its tokens. */
function tableAt({ tokens }: SqlStatement, at: number, catalogue: Catalogue): Table | undefined {
  const lower = (index: number): string => {
    const token = tokens[index];
    const name = nameIn(token) ?? '';
    return token?.kind === 'name' ? name.toLowerCase() : name;
  };
  const isQualified = tokens[at + 1]?.text === '.';
  const name = lower(isQualified ? at + 2 : at);
  const candidates = [...catalogue.values()].filter((table) => table.name === name);
  return isQualified ? candidates.find((table) => table.schema === lower(at)) : candidates[0];
}

interface Drops {
  /** By label: columns that go; null for the whole table. */
  readonly tables: Map<string, Set<string> | null>;
  /** A statement whose text does not tell what it drops. */
  hasUnread: boolean;
}

const harmless = /^(CREATE|UPDATE|INSERT|DELETE|COMMENT|GRANT|REVOKE|SET|RESET|SELECT|LOCK)$/;

function skipWords({ tokens }: SqlStatement, at: number, words: RegExp): number {
  let next = at;
  while (words.test(keyword(tokens[next]) ?? '')) next += 1;
  return next;
}

function readDrops(statement: SqlStatement, catalogue: Catalogue, drops: Drops): void {
  const { tokens } = statement;
  const words = [keyword(tokens[0]), keyword(tokens[1])];
  if (words[0] === 'DROP' && words[1] === 'TABLE') {
    let at = skipWords(statement, 2, /^(IF|EXISTS)$/);
    for (; at < tokens.length; at += 1) {
      const table = tableAt(statement, at, catalogue);
      if (table !== undefined) drops.tables.set(table.label, null);
      while (at < tokens.length && tokens[at]?.text !== ',') at += 1;
    }
    return;
  }
  if (words[0] === 'ALTER' && words[1] === 'TABLE') {
    const table = tableAt(statement, skipWords(statement, 2, /^(IF|EXISTS|ONLY)$/), catalogue);
    if (table === undefined) return;
    for (const [at, token] of tokens.entries()) {
      const next = keyword(tokens[at + 1]) ?? '';
      if (keyword(token) !== 'DROP' || /^(CONSTRAINT|DEFAULT|NOT|IDENTITY|EXPRESSION)$/.test(next)) continue;
      const column = tokens[skipWords(statement, at + 1, /^(COLUMN|IF|EXISTS)$/)];
      const name = column?.kind === 'name' ? column.text.toLowerCase() : (nameIn(column) ?? '');
      const columns = drops.tables.get(table.label);
      if (columns === undefined) drops.tables.set(table.label, new Set([name]));
      else columns?.add(name);
    }
    return;
  }
  const isDrop =
    words[0] === 'DROP' && /^(INDEX|VIEW|TRIGGER|FUNCTION|SEQUENCE|POLICY|RULE)$/.test(words[1] ?? '');
  if (!isDrop && !harmless.test(words[0] ?? '')) drops.hasUnread = true;
}

async function count(connection: Connection, sql: string): Promise<number> {
  const [row] = await connection.rows<{ n: string }>(sql);
  return Number(row?.n ?? 0);
}

/** Rows of one table that hold a value in what the downs drop. */
async function countArchived(
  connection: Connection,
  table: Table,
  columns: ReadonlySet<string> | null,
): Promise<number> {
  const held = storedColumns(table).filter((column) => columns?.has(column.name) === true);
  if (columns !== null && held.length === 0) return 0;
  const where =
    columns === null ? 'true' : held.map(({ name }) => `t.${identifier(name)} IS NOT NULL`).join(' OR ');
  return await count(connection, `SELECT count(*) AS n FROM ${table.from} AS t WHERE ${where}`);
}

/** Rows with a value that a migration had rewritten and the application has changed since. */
async function countEdited(connection: Connection, live: Table, table: ArchivedTable): Promise<number> {
  const names = new Set(storedColumns(live).map((column) => column.name));
  if (
    table.unmatched !== null ||
    table.keyAfter.length === 0 ||
    !table.keyAfter.every((key) => names.has(key))
  )
    return 0;
  const edits = table.mapped.flatMap(([, after], at) =>
    names.has(after)
      ? [`(substr(r.m, ${at + 1}, 1) = '1' AND r.a[${at + 1}] IS DISTINCT FROM t.${identifier(after)}::text)`]
      : [],
  );
  if (edits.length === 0) return 0;
  return await count(
    connection,
    `SELECT count(*) AS n FROM ${ownSchema}.${table.rows} AS r JOIN ${live.from} AS t ON ${texts('t', table.keyAfter)} = r.k
     WHERE r.d = 1 AND (${edits.join(' OR ')})`,
  );
}

/**
 * What taking back these migrations would do to rows: nothing is lost, but what the downs drop goes into an archive.
 * Nothing is run for it, for a lock on the live database is no price for a look: what the downs drop is read from their
 * text, and where that does not tell, the count is not called exact.
 *
 * @param open newest first, with the archive of each
 * @param written rows that the application has written since the backup, by table, where that is known
 */
export async function countDownRisk(
  connection: Connection,
  open: readonly { readonly migration: Migration; readonly archive: Archive | undefined }[],
  written: ReadonlyMap<string, number> | null,
): Promise<DataAtRisk> {
  await connection.run(`BEGIN; ${exactTexts}`);
  const catalogue = await readCatalogue(connection);
  const drops: Drops = { tables: new Map(), hasUnread: false };
  for (const { migration } of open)
    for (const statement of splitStatements(migration.down ?? '')) readDrops(statement, catalogue, drops);
  const tables: TableRisk[] = [];
  const dropped: string[] = [];
  for (const table of catalogue.values()) {
    const columns = drops.tables.get(table.label);
    if (columns === null) dropped.push(table.label);
    else for (const column of columns ?? []) dropped.push(`${table.label}.${column}`);
    const all = await count(connection, `SELECT count(*) AS n FROM ${table.from}`);
    let edited = 0;
    for (const { archive } of open) {
      for (const recorded of archive?.record.tables ?? []) {
        const { after } = recorded;
        if (recorded.rows === null || after === null) continue;
        if (findTable(catalogue, after.schema, after.name) === table)
          edited += await countEdited(connection, table, recorded);
      }
    }
    tables.push({
      table: table.label,
      kept: columns === null ? 0 : (written?.get(table.label) ?? all),
      archived: columns === undefined ? 0 : await countArchived(connection, table, columns),
      lost: 0,
      editedSince: edited,
    });
  }
  await connection.run('ROLLBACK');
  return { tables, dropped, exact: !drops.hasUnread && open.every(({ archive }) => archive !== undefined) };
}
