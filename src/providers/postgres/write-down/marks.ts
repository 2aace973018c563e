import type { Action } from '@supabase/pg-delta/plan';
import type { Parse, Tree } from '../parse.ts';
import { columnRules } from '../statements/constraints.ts';
import type { Known } from '../statements/known.ts';
import { allOf, as, list, text, typeText } from '../statements/tree.ts';
import { takesEveryValue } from '../statements/type-change.ts';

/** What one statement of a way back does to values, for the person who reviews it. */
export interface Mark {
  /** Every value that is there stays or comes back. */
  readonly isLossless: boolean;
  /** Why not; null when it is lossless. */
  readonly loses: string | null;
  /** With which rows the statement fails, and everything stays as it is; null when no row can stop it. */
  readonly stopsWhere: string | null;
}

export const lossless: Mark = { isLossless: true, loses: null, stopsWhere: null };

function loses(what: string): Mark {
  return { isLossless: false, loses: what, stopsWhere: null };
}

function stops(where: string): Mark {
  return { ...lossless, stopsWhere: where };
}

type Id = Action['produces'][number];

function nameOf(id: Id): string {
  const parts = [
    'schema' in id && id.schema !== null && id.schema !== 'public' ? id.schema : '',
    'table' in id ? id.table : '',
    'name' in id ? id.name : '',
  ];
  return parts.filter((part) => part !== '').join('.');
}

/** Objects that hold no values: made again from their definition they are what they were. */
const withoutValues: ReadonlySet<string> = new Set([
  ...[
    'comment',
    'acl',
    'defaultPrivilege',
    'policy',
    'trigger',
    'rule',
    'view',
    'materializedView',
    'index',
    'function',
  ],
  ...[
    'procedure',
    'aggregate',
    'default',
    'constraint',
    'publication',
    'publicationRel',
    'publicationSchema',
    'type',
  ],
  ...['domain', 'eventTrigger', 'collation', 'schema', 'typeAttribute'],
]);

/** Objects whose going takes values along. */
const withValues: ReadonlySet<string> = new Set(['table', 'column', 'sequence', 'extension', 'foreignTable']);

function dropped(action: Action): Mark | undefined {
  const gone = action.destroys.filter(({ kind }) => withValues.has(kind));
  const [first] = gone;
  if (first === undefined) {
    return action.destroys.every(({ kind }) => withoutValues.has(kind))
      ? undefined
      : loses('what it drops is not known here');
  }
  if (first.kind === 'sequence') return loses(`the number that ${nameOf(first)} has come to goes away`);
  return loses(
    `what was written into ${nameOf(first)} goes away; it is archived first when unship runs the down`,
  );
}

function addedColumn(definition: Tree, table: string): Mark {
  const column = text(definition.colname);
  const rules = columnRules(definition.constraints);
  if (rules.generated !== undefined) return lossless;
  if (rules.isIdentity) return loses(`${table}.${column} is numbered anew from its start`);
  const where =
    rules.isNotNull && rules.default === undefined
      ? `${table} has rows: give it a default, or fill it before SET NOT NULL`
      : null;
  return {
    isLossless: false,
    loses: `${table}.${column} comes back without its values: those are in the archive or the backup of the release`,
    stopsWhere: where,
  };
}

/** A type that every value is converted to. */
function retyped(command: Tree, table: string, known: Known): Mark {
  const column = text(command.name);
  const to = typeText(as(command.def, 'ColumnDef')?.typeName);
  const from = known.tables.get(table)?.columns.get(column)?.type;
  // A type made anew under its name, an enum without a value say: each value is read again from its text.
  const isSame = from !== undefined && from.split('.').at(-1) === to;
  if (isSame) return stops(`${table}.${column} holds a value that ${to} did not have before`);
  if (from !== undefined && takesEveryValue(from, to)) return lossless;
  return {
    isLossless: false,
    loses: `values of ${table}.${column} become ${to}: what the earlier conversion or this one cuts off is not there again`,
    stopsWhere: `a value is none of ${to}`,
  };
}

const rules: { readonly [kind: string]: string } = {
  CONSTR_CHECK: 'a row does not keep the rule',
  CONSTR_UNIQUE: 'two rows are alike',
  CONSTR_PRIMARY: 'two rows are alike, or a value is null',
  CONSTR_EXCLUSION: 'two rows exclude each other',
  CONSTR_FOREIGN: 'a row refers to one that is not there',
};

function altered(node: Tree, known: Known): Mark {
  const relation = node.relation as Tree;
  const schema = text(relation.schemaname);
  const table =
    schema === '' || schema === 'public' ? text(relation.relname) : `${schema}.${text(relation.relname)}`;
  let mark = lossless;
  for (const command of allOf(node.cmds, 'AlterTableCmd')) {
    const definition = as(command.def, 'ColumnDef');
    const constraint = as(command.def, 'Constraint');
    const subtype = text(command.subtype);
    if (subtype === 'AT_AddColumn' && definition !== undefined) mark = addedColumn(definition, table);
    else if (subtype === 'AT_AlterColumnType') mark = retyped(command, table, known);
    else if (subtype === 'AT_SetNotNull') mark = stops(`${table}.${text(command.name)} is null in a row`);
    else if (subtype === 'AT_AddIdentity')
      mark = loses(`${table}.${text(command.name)} is numbered anew from its start`);
    else if (constraint !== undefined && constraint.skip_validation !== true) {
      mark = stops(rules[text(constraint.contype)] ?? 'a row does not keep the rule');
    }
  }
  return mark;
}

/** What is made again: it was there before the migration, which has dropped it. */
function created(kind: string, node: Tree): Mark | undefined {
  if (kind === 'CreateStmt') {
    const isParent = node.partspec !== undefined;
    if (isParent) return lossless;
    return loses(
      `${text((node.relation as Tree).relname)} comes back empty: its rows are in the archive or the backup of the release`,
    );
  }
  if (kind === 'CreateSeqStmt')
    return loses('the sequence begins anew: set it behind the highest number in use');
  if (kind === 'IndexStmt' && node.unique === true) return stops('two rows are alike');
  return undefined;
}

/** The mark of one statement of the way back, from what it makes and destroys and from its own text. */
export function markOf(parse: Parse, action: Action, known: Known): Mark {
  const gone = dropped(action);
  if (gone !== undefined) return gone;
  const [statement] = parse('down', action.sql);
  if (statement === undefined) return loses('what it does is not known here');
  const { kind, node } = statement;
  if (kind === 'AlterTableStmt') return altered(node, known);
  const made = created(kind, node);
  if (made !== undefined) return made;
  const isKnown = [...action.produces, ...action.destroys].every((id) => withoutValues.has(id.kind));
  if (kind === 'AlterSeqStmt') {
    const restarts = list(node.options).some((option) => as(option, 'DefElem')?.defname === 'restart');
    return restarts ? loses('the sequence begins anew') : lossless;
  }
  return isKnown ? lossless : loses('what it does to values is not known here');
}
