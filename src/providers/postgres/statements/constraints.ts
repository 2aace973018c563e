import type { Tree } from '../parse.ts';
import type { Subcommand } from './subcommand.ts';
import { allOf, as, isTree, text } from './tree.ts';

/** What stands behind a column's type. */
export interface ColumnRules {
  readonly isNotNull: boolean;
  readonly default: unknown;
  readonly isIdentity: boolean;
  readonly generated: unknown;
  /** Its generated value is kept in each row. */
  readonly isStored: boolean;
  /** CHECK, UNIQUE, PRIMARY KEY, REFERENCES. */
  readonly others: readonly Tree[];
}

export function columnRules(constraints: unknown): ColumnRules {
  const all = allOf(constraints, 'Constraint');
  const of = (kind: string): Tree | undefined => all.find((one) => one.contype === kind);
  const generated = of('CONSTR_GENERATED');
  const rules: readonly string[] = ['CONSTR_CHECK', 'CONSTR_UNIQUE', 'CONSTR_PRIMARY', 'CONSTR_FOREIGN'];
  return {
    isNotNull: of('CONSTR_NOTNULL') !== undefined || of('CONSTR_PRIMARY') !== undefined,
    default: of('CONSTR_DEFAULT')?.raw_expr,
    isIdentity: of('CONSTR_IDENTITY') !== undefined,
    generated: generated?.raw_expr,
    isStored: generated !== undefined && text(generated.generated_kind) !== 'v',
    others: all.filter((one) => rules.includes(text(one.contype))),
  };
}

const words: { readonly [kind: string]: string } = {
  CONSTR_CHECK: 'a check',
  CONSTR_UNIQUE: 'a unique rule',
  CONSTR_PRIMARY: 'a primary key',
  CONSTR_EXCLUSION: 'an exclusion rule',
  CONSTR_FOREIGN: 'a foreign key',
  CONSTR_NOTNULL: 'a rule that a column is never null',
};

/** `new`: on a column that the same command adds, and so on values that only it has written. */
export function addConstraint(
  { script, finding, table, relation }: Subcommand,
  constraint: Tree,
  column: 'old' | 'new' | 'new and empty',
): void {
  const kind = text(constraint.contype);
  const what = words[kind] ?? 'a rule';
  const tables = (
    kind === 'CONSTR_CHECK' ? script.withChildren(table, relation) : script.withPartitions(table, relation)
  ).filter((each) => script.holdsRows(each));
  if (kind === 'CONSTR_FOREIGN') {
    const parent = script.relation(constraint.pktable);
    if (parent !== table) finding.lock(parent, 'share row exclusive');
    const isLooked = constraint.skip_validation !== true && column !== 'new and empty';
    if (isLooked) for (const each of tables) finding.scans.add(each);
  } else if (constraint.indexname !== undefined) {
    // The index is there already; a primary key looks whether its columns may be null.
    if (kind === 'CONSTR_PRIMARY') for (const each of tables) finding.scans.add(each);
  } else if (constraint.skip_validation !== true) for (const each of tables) finding.scans.add(each);
  const isEnforcedByRows = column !== 'new and empty' || kind !== 'CONSTR_FOREIGN';
  if (isEnforcedByRows) {
    finding.breaksOld.push(`adds ${what} to ${table}, which older code need not heed`);
  }
  finding.breaksNew.push(`adds ${what} to ${table}`);
  if (constraint.skip_validation !== true && column === 'old') {
    finding.remarks.push(`it fails where a row of ${table} does not keep the rule`);
  }
}

export function tableRule(subcommand: Subcommand): void {
  const constraint = as(subcommand.command.def, 'Constraint');
  if (isTree(constraint)) addConstraint(subcommand, constraint, 'old');
}
