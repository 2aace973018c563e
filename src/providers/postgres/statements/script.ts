import { type Known, type KnownColumn, type KnownTable, nameIn } from './known.ts';
import { isTree, nodesOf, strings, text } from './tree.ts';

/** What a script has done so far, and what was known before it began. */
export class Script {
  /** Tables and views made by this very script: nobody else knows them. */
  readonly created: Set<string> = new Set();
  /** `table.column` added by this script. */
  readonly addedColumns: Set<string> = new Set();
  readonly dropped: Set<string> = new Set();
  readonly known: Known | undefined;
  /** Schema that names without one stand for. */
  schema = 'public';

  constructor(known: Known | undefined) {
    this.known = known;
  }

  /** A table or view as this script's reader would write it. */
  relation(rangeVar: unknown): string {
    if (!isTree(rangeVar)) return '?';
    return nameIn(text(rangeVar.schemaname) || this.schema, text(rangeVar.relname) || '?');
  }

  /** The same for a name in a list of strings: schema and name, or the name alone. */
  named(parts: readonly string[]): string {
    return nameIn(parts.at(-2) ?? this.schema, parts.at(-1) ?? '?');
  }

  isNew(relation: string): boolean {
    return this.created.has(relation);
  }

  table(name: string): KnownTable | undefined {
    return this.known?.tables.get(name);
  }

  column(table: string, column: string): KnownColumn | undefined {
    return this.table(table)?.columns.get(column);
  }

  /** The table and everything below it, unless ONLY was written. */
  withChildren(name: string, rangeVar: unknown): readonly string[] {
    const inherits = isTree(rangeVar) && rangeVar.inh === true;
    return inherits ? [name, ...(this.table(name)?.children ?? [])] : [name];
  }

  /** The table and its partitions: what merely inherits from it is left out. */
  withPartitions(name: string, rangeVar: unknown): readonly string[] {
    return this.table(name)?.holdsRows === true ? [name] : this.withChildren(name, rangeVar);
  }

  holdsRows(name: string): boolean {
    return this.table(name)?.holdsRows !== false;
  }

  /** Nothing of this name is there, and nothing was made. */
  isNowhere(name: string): boolean {
    return this.known !== undefined && this.table(name) === undefined && !this.isNew(name);
  }

  /** The same, without those that hold no rows themselves. */
  withRows(name: string, rangeVar: unknown): readonly string[] {
    return this.withChildren(name, rangeVar).filter((each) => this.holdsRows(each));
  }

  /** The table that an index belongs to; undefined where the catalogue does not say. */
  tableOfIndex(index: string): string | undefined {
    for (const [name, table] of this.known?.tables ?? []) if (table.indexes.includes(index)) return name;
    return undefined;
  }

  /** Tables that hold rows with a column of this type. */
  tablesWith(type: string): readonly string[] {
    return [...(this.known?.tables ?? [])].flatMap(([name, { columns, holdsRows }]) =>
      holdsRows && [...columns.values()].some((column) => column.type === type) ? [name] : [],
    );
  }

  /** Tables with a foreign key to this one, and those that refer to them, and so on. */
  referringDeep(name: string): ReadonlySet<string> {
    const found = new Set<string>();
    const open = [name];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const fresh = this.referring(next).filter((other) => !found.has(other));
      for (const other of fresh) found.add(other);
      open.push(...fresh);
    }
    return found;
  }

  /** Tables with a foreign key to this one. */
  referring(name: string): readonly string[] {
    return [...(this.known?.tables ?? [])].flatMap(([other, table]) =>
      other !== name && [...table.references.values()].includes(name) ? [other] : [],
    );
  }
}

/** Functions of the server whose answer changes from row to row, or whose call itself changes something. */
const volatileOfServer: ReadonlySet<string> = new Set([
  ...['random', 'clock_timestamp', 'timeofday', 'nextval', 'currval', 'lastval', 'setval', 'gen_random_uuid'],
  ...['uuid_generate_v4', 'uuid_generate_v1', 'uuid_generate_v1mc', 'gen_random_bytes', 'uuidv4', 'uuidv7'],
]);

/** Functions of the server that give one answer within a statement, and change nothing. */
const steadyOfServer: ReadonlySet<string> = new Set([
  ...['now', 'transaction_timestamp', 'statement_timestamp', 'current_setting', 'timezone', 'date_trunc'],
  ...['lower', 'upper', 'trim', 'btrim', 'ltrim', 'rtrim', 'concat', 'concat_ws', 'left', 'right', 'replace'],
  ...['substring', 'substr', 'length', 'char_length', 'md5', 'encode', 'decode', 'to_char', 'to_timestamp'],
  ...['to_date', 'to_number', 'abs', 'round', 'floor', 'ceil', 'ceiling', 'coalesce', 'greatest', 'least'],
  ...['count', 'sum', 'min', 'max', 'avg', 'array_agg', 'string_agg', 'json_agg', 'jsonb_agg', 'row_number'],
  ...[
    'json_build_object',
    'jsonb_build_object',
    'json_build_array',
    'jsonb_build_array',
    'to_json',
    'to_jsonb',
  ],
  ...[
    'jsonb_set',
    'array_length',
    'unnest',
    'generate_series',
    'make_interval',
    'date_part',
    'extract',
    'age',
  ],
  ...['split_part', 'regexp_replace', 'to_tsvector', 'setweight', 'rank', 'dense_rank', 'nullif', 'position'],
  ...['version', 'current_database', 'pg_get_serial_sequence', 'to_regclass', 'exists', 'pg_backend_pid'],
]);

export type Steadiness = 'steady' | 'volatile' | 'unknown';

/** Whether an expression gives one answer for all rows. Functions of the application can't be known. */
export function steadiness(expression: unknown): Steadiness {
  let found: Steadiness = 'steady';
  for (const call of nodesOf(expression, 'FuncCall')) {
    const name = strings(call.funcname).at(-1) ?? '?';
    if (volatileOfServer.has(name)) return 'volatile';
    if (!steadyOfServer.has(name)) found = 'unknown';
  }
  return found;
}

export function functionsCalled(tree: unknown): readonly string[] {
  return nodesOf(tree, 'FuncCall').map((call) => strings(call.funcname).at(-1) ?? '?');
}
