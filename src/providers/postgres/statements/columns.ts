import { addConstraint, columnRules } from './constraints.ts';
import { type Script, steadiness } from './script.ts';
import type { Reader, Subcommand } from './subcommand.ts';
import { as, isTree, strings, text, typeText } from './tree.ts';
import { keepsValues, takesEveryValue } from './type-change.ts';

/** Serial types are integers with a default that counts. */
const serials: ReadonlySet<string> = new Set([
  ...['serial', 'bigserial', 'smallserial', 'serial2', 'serial4', 'serial8'],
]);

function everyTable({ script, table, relation }: Subcommand): readonly string[] {
  return script.withRows(table, relation);
}

/** Types of the server that are written without its schema; those with a grammar of their own are known by it. */
const ofServer: ReadonlySet<string> = new Set([
  ...[
    'text',
    'uuid',
    'json',
    'jsonb',
    'bytea',
    'date',
    'inet',
    'cidr',
    'macaddr',
    'money',
    'xml',
    'oid',
    'name',
  ],
  ...[
    'timestamptz',
    'timetz',
    'int2',
    'int4',
    'int8',
    'float4',
    'float8',
    'bool',
    'varbit',
    'tsvector',
    'tsquery',
  ],
  ...['point', 'line', 'box', 'path', 'polygon', 'circle', 'citext', 'hstore', 'ltree', 'vector', 'geometry'],
]);

/** Whether the type is a domain with a rule, which every row is then held against. */
function mayBeRuled(script: Script, typeName: unknown, type: string): boolean {
  const names = strings(isTree(typeName) ? typeName.names : undefined);
  if (script.known !== undefined) return script.known.constrainedDomains.has(script.named(names));
  return names[0] !== 'pg_catalog' && !ofServer.has(type.replace('[]', '')) && !serials.has(type);
}

export function addColumn(subcommand: Subcommand): void {
  const { script, finding, table, command } = subcommand;
  const definition = as(command.def, 'ColumnDef') ?? {};
  const column = text(definition.colname);
  const rules = columnRules(definition.constraints);
  const type = typeText(definition.typeName);
  const fillsItself =
    rules.default !== undefined || rules.isIdentity || rules.generated !== undefined || serials.has(type);
  script.addedColumns.add(`${table}.${column}`);
  finding.breaksNew.push(`adds ${table}.${column}`);
  if (rules.isNotNull && !fillsItself) {
    finding.breaksOld.push(
      `adds ${table}.${column} NOT NULL without a default, which older code does not fill`,
    );
    finding.remarks.push(`it fails where ${table} has rows`);
  }
  const steady = steadiness(rules.default);
  const isDomain = mayBeRuled(script, definition.typeName, type);
  const isFilledRowByRow =
    steady !== 'steady' || rules.isIdentity || rules.isStored || serials.has(type) || isDomain;
  for (const each of everyTable(subcommand)) {
    if (isFilledRowByRow) {
      finding.rewrites.add(each);
      finding.scans.add(each);
    } else if (rules.isNotNull && rules.default === undefined) finding.scans.add(each);
  }
  if (steady === 'unknown') finding.remarks.push('whether its default is the same for all rows is not known');
  for (const constraint of rules.others) {
    if (text(constraint.contype) === 'CONSTR_FOREIGN') {
      // Without a default every value is null, which refers to nothing: no row has to be looked at.
      addConstraint(subcommand, constraint, rules.default === undefined ? 'new and empty' : 'new');
    } else addConstraint(subcommand, constraint, 'new');
  }
}

export function dropColumn({ finding, table, command }: Subcommand): void {
  const column = text(command.name);
  finding.breaksOld.push(`drops ${table}.${column}, which older code may read`);
  finding.change(table, `drops ${table}.${column} with its values`);
  if (text(command.behavior) === 'DROP_CASCADE')
    finding.remarks.push('CASCADE drops whatever depends on it as well');
}

/** `USING column` and `USING column::type` are what PostgreSQL does by itself. */
function isOwnCast(using: unknown, column: string, type: string): boolean {
  if (using === undefined) return true;
  const cast = as(using, 'TypeCast');
  if (cast !== undefined && typeText(cast.typeName) !== type) return false;
  const reference = as(cast?.arg ?? using, 'ColumnRef');
  return reference !== undefined && strings(reference.fields).join('.') === column;
}

export function alterType(subcommand: Subcommand): void {
  const { script, finding, table, command } = subcommand;
  const column = text(command.name);
  const definition = as(command.def, 'ColumnDef') ?? {};
  const type = typeText(definition.typeName);
  const before = script.column(table, column);
  const from = before?.type;
  const own = isOwnCast(definition.raw_default, column, type);
  const isKept = own && from !== undefined && keepsValues(from, type);
  const isWider = own && from !== undefined && takesEveryValue(from, type);
  for (const each of everyTable(subcommand)) {
    if (!isKept) finding.rewrites.add(each);
    if (!isKept || before?.isChecked === true) finding.scans.add(each);
  }
  finding.breaksNew.push(`makes ${table}.${column} ${type}`);
  if (!isWider) {
    finding.breaksOld.push(
      `makes ${table}.${column} ${type}${from === undefined ? '' : ` of ${from}`}, which older code does not expect`,
    );
  }
  // Wider types hold the same values: nothing that was there is another value now.
  if (!isWider) finding.change(table, `converts ${table}.${column} to ${type}`);
  if (from === undefined)
    finding.remarks.push('its earlier type is not known here: the costlier way is assumed');
}

export function setNotNull(subcommand: Subcommand): void {
  const { script, finding, table, command } = subcommand;
  const column = text(command.name);
  finding.breaksOld.push(`makes ${table}.${column} NOT NULL, which older code may leave empty`);
  finding.remarks.push(`it fails where ${table}.${column} is null in a row`);
  for (const each of everyTable(subcommand)) {
    if (script.column(each, column)?.isProvenNotNull !== true) finding.scans.add(each);
  }
}

export function dropNotNull({ finding, table, command }: Subcommand): void {
  const column = text(command.name);
  finding.breaksOld.push(`lets ${table}.${column} be null, which older code may not expect`);
  finding.breaksNew.push(`lets ${table}.${column} be null`);
}

export function columnDefault({ script, finding, table, command }: Subcommand): void {
  const column = `${table}.${text(command.name)}`;
  const had = script.column(table, text(command.name))?.hasDefault ?? true;
  if (command.def === undefined) {
    finding.breaksOld.push(`takes the default of ${column} away, which older code may rely on`);
    return;
  }
  if (had) finding.breaksOld.push(`gives ${column} another default, which older code would write`);
  finding.breaksNew.push(`gives ${column} a default`);
}

export function identity(word: string, breaks: 'old' | 'new'): Reader {
  return ({ finding, table, command }) => {
    const column = `${table}.${text(command.name)}`;
    if (breaks === 'old') finding.breaksOld.push(`${word} ${column}, which older code may rely on`);
    else finding.breaksNew.push(`${word} ${column}`);
  };
}
