import type { DatabaseSync } from 'node:sqlite';
import { canonicalJson, type Json } from '../../domain/json.ts';
import { keyword, normalizeSql, type SqlToken, tokenize } from '../../domain/migrations/sql-statements.ts';
import { quoteName } from './names.ts';
import type { Schema, Table } from './schema.ts';

function normalized(sql: string | null): string | null {
  return sql === null ? null : normalizeSql(tokenize(sql));
}

/** The items between the outer parentheses of a CREATE TABLE: one for each column and table constraint. */
function definitionItems(sql: string): readonly (readonly SqlToken[])[] {
  const items: SqlToken[][] = [];
  let depth = 0;
  for (const token of tokenize(sql)) {
    if (token.text === ')') depth -= 1;
    const separates = depth === 1 && token.text === ',';
    if (depth >= 1 && !separates) items.at(-1)?.push(token);
    if (token.text === '(') depth += 1;
    if (separates || (token.text === '(' && depth === 1)) items.push([]);
  }
  return items;
}

/** The pair of parentheses that opens at `from`. */
function group(tokens: readonly SqlToken[], from: number): readonly SqlToken[] {
  let depth = 0;
  for (let at = from; at < tokens.length; at += 1) {
    if (tokens[at]?.text === '(') depth += 1;
    if (tokens[at]?.text === ')') depth -= 1;
    if (depth === 0) return tokens.slice(from, at + 1);
  }
  return tokens.slice(from);
}

/** What SQLite tells only in the text of a CREATE TABLE: checks, collations, computed columns, AUTOINCREMENT. */
function textualRules(sql: string): readonly string[] {
  const rules: string[] = [];
  for (const item of definitionItems(sql)) {
    const owner = normalizeSql(item.slice(0, 1));
    for (const [at, token] of item.entries()) {
      const word = keyword(token);
      if ((word === 'CHECK' || word === 'AS') && item[at + 1]?.text === '(') {
        rules.push(`${word === 'AS' ? owner : ''} ${word} ${normalizeSql(group(item, at + 1))}`);
      }
      if (word === 'COLLATE') rules.push(`${owner} COLLATE ${normalizeSql(item.slice(at + 1, at + 2))}`);
      if (word === 'AUTOINCREMENT') rules.push(`${owner} AUTOINCREMENT`);
    }
  }
  return rules.sort();
}

type Row = { readonly [column: string]: unknown };

function pragma(database: DatabaseSync, schema: string, name: string, argument: string): readonly Row[] {
  return database.prepare(`PRAGMA ${quoteName(schema)}.${name}(${quoteName(argument)})`).all();
}

function sorted(values: readonly Json[]): readonly Json[] {
  return values
    .map((value) => [canonicalJson(value), value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, value]) => value);
}

function describeIndexes(
  database: DatabaseSync,
  schemaName: string,
  schema: Schema,
  table: Table,
): readonly Json[] {
  const texts = new Map(schema.objects.map((object) => [object.name, object.sql]));
  return sorted(
    pragma(database, schemaName, 'index_list', table.name).map((index) => {
      const name = String(index.name);
      const text = texts.get(name) ?? null;
      const columns = pragma(database, schemaName, 'index_xinfo', name)
        .filter((column) => column.key === 1)
        .map((column) => [column.name, column.desc, column.coll] as unknown as Json);
      const needsText = index.partial === 1 || columns.some((column) => (column as Json[])[0] === null);
      return {
        name: text === null ? null : name,
        unique: index.unique as Json,
        columns,
        text: needsText ? normalized(text) : null,
      };
    }),
  );
}

function describeTable(database: DatabaseSync, schemaName: string, schema: Schema, table: Table): Json {
  if (table.kind === 'virtual') return { name: table.name, text: normalized(table.sql) };
  return {
    name: table.name,
    withoutRowid: table.withoutRowid,
    strict: table.strict,
    // By name: a column that a down migration adds again stands at the end.
    columns: sorted(
      table.columns.map((column) => ({
        ...column,
        type: column.type.toUpperCase().replaceAll(/\s+/g, ' '),
        default: normalized(column.default),
      })),
    ),
    indexes: describeIndexes(database, schemaName, schema, table),
    foreignKeys: sorted(
      pragma(database, schemaName, 'foreign_key_list', table.name).map(
        ({ id: _, ...key }) => key as unknown as Json,
      ),
    ),
    rules: textualRules(table.sql),
  };
}

/**
 * The text whose SHA-256 is the schema's fingerprint: equal for schemas that behave alike, whatever the order,
 * spelling and white space of their definitions. Row data and unship's own objects are no part of it.
 */
export function describeSchema(database: DatabaseSync, schema: Schema, schemaName = 'main'): string {
  const tables = [...schema.tables.values()].filter((table) => table.kind !== 'shadow');
  const others = schema.objects.filter((object) => object.type !== 'index');
  return canonicalJson({
    tables: sorted(tables.map((table) => describeTable(database, schemaName, schema, table))),
    objects: sorted(
      others.map(({ type, name, table, sql }) => ({ type, name, table, text: normalized(sql) })),
    ),
  });
}
