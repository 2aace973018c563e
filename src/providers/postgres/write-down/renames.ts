import { type Connection, identifier, literal } from '../connection.ts';

/** One thing with a name, known by what a rename leaves as it is: its OID, and for columns the number in their table. */
interface Named {
  readonly id: string;
  readonly kind: string;
  readonly schema: string;
  /** The table, type or routine signature that it belongs to; empty for what stands in a schema. */
  readonly owner: string;
  readonly name: string;
  /** What else the statement has to say of it: a routine's arguments. */
  readonly extra: string;
}

const own = "n.nspname !~ '^(pg_|information_schema$)'";

const queries: readonly string[] = [
  `SELECT 'n' || n.oid AS id, 'SCHEMA' AS kind, '' AS schema, '' AS owner, n.nspname AS name, '' AS extra
   FROM pg_namespace n WHERE ${own}`,
  `SELECT 'c' || c.oid, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
     WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
     n.nspname, '', c.relname, ''
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${own} AND c.relkind <> 't' AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))`,
  `SELECT 'a' || a.attrelid || '.' || a.attnum, 'COLUMN', n.nspname, c.relname, a.attname, ''
   FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${own} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND a.attinhcount = 0`,
  `SELECT 'k' || k.oid, 'CONSTRAINT', n.nspname, c.relname, k.conname, ''
   FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${own} AND k.contype <> 't' AND k.coninhcount = 0 AND k.conparentid = 0`,
  `SELECT 't' || t.oid, 'TRIGGER', n.nspname, c.relname, t.tgname, ''
   FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${own} AND NOT t.tgisinternal AND t.tgparentid = 0`,
  `SELECT 'p' || p.oid, 'POLICY', n.nspname, c.relname, p.polname, ''
   FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${own}`,
  `SELECT 'y' || t.oid, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname, '', t.typname, ''
   FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE ${own} AND t.typtype IN ('d', 'e', 'r')`,
  `SELECT 'e' || e.oid, 'VALUE', n.nspname, t.typname, e.enumlabel, ''
   FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE ${own}`,
  `SELECT 'f' || p.oid, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, n.nspname,
     '', p.proname, pg_get_function_identity_arguments(p.oid)
   FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${own}`,
];

export type Names = ReadonlyMap<string, Named>;

export async function readNames(connection: Connection): Promise<Names> {
  const names = new Map<string, Named>();
  for (const query of queries) {
    for (const row of await connection.rows<Named & { readonly [column: string]: unknown }>(
      `SELECT * FROM (${query}) AS part (id, kind, schema, owner, name, extra)`,
    )) {
      names.set(row.id, row);
    }
  }
  return names;
}

/** What is called or lies otherwise than before, of everything that the migration has left in being; one line each. */
export function misnamed(before: Names, after: Names, now: Names): readonly string[] {
  return [...before].flatMap(([id, was]) => {
    const is = now.get(id);
    if (!after.has(id) || is === undefined) return [];
    const call = ({ schema, owner, name }: Named): string => [schema, owner, name].filter(Boolean).join('.');
    return call(is) === call(was) ? [] : [`${call(was)} is called ${call(is)}`];
  });
}

/** Tables and columns that the migration has left in being and that are gone now, with their values. */
export function vanished(before: Names, after: Names, now: Names): readonly string[] {
  return [...before].flatMap(([id, { kind, owner, name }]) =>
    after.has(id) && !now.has(id) && (kind === 'TABLE' || kind === 'COLUMN')
      ? [owner === '' ? name : `${owner}.${name}`]
      : [],
  );
}

/** The statement that gives `thing`, which is where and what `thing` says, this name. */
function statement(thing: Named, name: string): string {
  const { kind, schema, owner, extra } = thing;
  const to = identifier(name);
  switch (kind) {
    case 'SCHEMA':
      return `ALTER SCHEMA ${identifier(thing.name)} RENAME TO ${to}`;
    case 'COLUMN':
    case 'CONSTRAINT':
      return `ALTER TABLE ${identifier(schema, owner)} RENAME ${kind} ${identifier(thing.name)} TO ${to}`;
    case 'TRIGGER':
    case 'POLICY':
      return `ALTER ${kind} ${identifier(thing.name)} ON ${identifier(schema, owner)} RENAME TO ${to}`;
    case 'VALUE':
      return `ALTER TYPE ${identifier(schema, owner)} RENAME VALUE ${literal(thing.name)} TO ${literal(name)}`;
    case 'FUNCTION':
    case 'PROCEDURE':
    case 'AGGREGATE':
      return `ALTER ${kind} ${identifier(schema, thing.name)}(${extra}) RENAME TO ${to}`;
    default:
      return `ALTER ${kind} ${identifier(schema, thing.name)} RENAME TO ${to}`;
  }
}

/** What two things can't both be called: relations and types share their schema's names. */
function placeOf({ kind, schema, owner, extra }: Named): string {
  const space = ['FUNCTION', 'PROCEDURE', 'AGGREGATE'].includes(kind)
    ? `routine ${extra}`
    : ['VIEW', 'MATERIALIZED VIEW', 'SEQUENCE', 'INDEX', 'FOREIGN TABLE', 'TABLE', 'TYPE', 'DOMAIN'].includes(
          kind,
        )
      ? 'relation'
      : kind;
  return JSON.stringify([space, schema, owner]);
}

/** Outer things first: what lies in them is then called by where it was before. */
const order = [
  'SCHEMA',
  'TABLE',
  'FOREIGN TABLE',
  'VIEW',
  'MATERIALIZED VIEW',
  'SEQUENCE',
  'INDEX',
  'TYPE',
  'DOMAIN',
];

function rank(kind: string): number {
  const at = order.indexOf(kind);
  return at === -1 ? order.length : at;
}

/** Statements that give back the names from before, told by identity: whatever a migration calls a rename is one. */
export function undoRenames(before: Names, after: Names): readonly string[] {
  const statements: string[] = [];
  const now = new Map([...after].map(([id, thing]) => [id, { ...thing }]));
  const holder = (place: string, name: string): Named | undefined =>
    [...now.values()].find((thing) => placeOf(thing) === place && thing.name === name);
  const call = (id: string, name: string): void => {
    const thing = now.get(id);
    if (thing === undefined) return;
    statements.push(statement(thing, name));
    now.set(id, { ...thing, name });
    // What lies in it is found under its new name from here on.
    for (const [inner, one] of now) {
      if (thing.kind === 'SCHEMA' && one.schema === thing.name) now.set(inner, { ...one, schema: name });
      else if (one.owner === thing.name && one.schema === thing.schema && one.owner !== '') {
        now.set(inner, { ...one, owner: name });
      }
    }
  };
  const both = [...before.values()]
    .filter((thing) => after.has(thing.id))
    .sort((a, b) => rank(a.kind) - rank(b.kind));
  for (const [at, was] of both.entries()) {
    const is = now.get(was.id);
    if (is === undefined) continue;
    if (is.schema !== was.schema && is.owner === '' && is.kind !== 'SCHEMA') {
      const what = `${identifier(is.schema, is.name)}${is.extra === '' && !/FUNCTION|PROCEDURE|AGGREGATE/.test(is.kind) ? '' : `(${is.extra})`}`;
      statements.push(`ALTER ${is.kind} ${what} SET SCHEMA ${identifier(was.schema)}`);
      now.set(was.id, { ...is, schema: was.schema });
      for (const [inner, one] of now) {
        if (one.owner === is.name && one.schema === is.schema) now.set(inner, { ...one, schema: was.schema });
      }
    }
    const current = now.get(was.id);
    if (current === undefined || current.name === was.name) continue;
    const inTheWay = holder(placeOf(current), was.name);
    if (inTheWay !== undefined) call(inTheWay.id, `unship_aside_${at}`);
    call(was.id, was.name);
  }
  return statements;
}
