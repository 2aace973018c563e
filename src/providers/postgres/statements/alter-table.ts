import type { Tree } from '../parse.ts';
import {
  addColumn,
  alterType,
  columnDefault,
  dropColumn,
  dropNotNull,
  identity,
  setNotNull,
} from './columns.ts';
import { tableRule } from './constraints.ts';
import type { Script } from './script.ts';
import type { Reader, Subcommand } from './subcommand.ts';
import { allOf, as, isTree, strings, text } from './tree.ts';
import { Finding, type LockMode } from './verdict.ts';

function rowSecurity(clause: string, isStricter: boolean): Reader {
  return ({ finding, table }) => {
    if (isStricter) {
      finding.breaksOld.push(`${clause} on ${table}: rows that no policy allows vanish for older code`);
      return;
    }
    finding.breaksNew.push(`${clause} on ${table}`);
    finding.remarks.push(
      `rows of ${table} that its policies kept apart can be read by every role with a grant`,
    );
  };
}

function triggers(word: string): Reader {
  return ({ finding, table }) => {
    finding.breaksOld.push(`${word} triggers of ${table}, which change what older code writes`);
    finding.breaksNew.push(`${word} triggers of ${table}`);
  };
}

function validate({ finding, table }: Subcommand): void {
  finding.scans.add(table);
  finding.remarks.push('it fails where a row does not keep the rule');
}

function dropConstraint({ script, finding, table, command }: Subcommand): void {
  const name = text(command.name);
  finding.breaksNew.push(`drops the rule ${name} of ${table}`);
  const parent = script.table(table)?.references.get(name);
  if (parent !== undefined) finding.lock(parent, 'access exclusive');
  else if (script.known === undefined) {
    finding.remarks.push(
      'if it is a foreign key, reads and writes of the table that it refers to wait as well',
    );
  }
}

/** The partition's own lock and that of the default partition, which must hold no row that belongs to it now. */
function attachPartition({ script, finding, table, command }: Subcommand): void {
  const partition = script.relation(as(command.def, 'PartitionCmd')?.name);
  finding.lock(partition, 'access exclusive');
  finding.scans.add(partition);
  const other = script.table(table)?.defaultPartition;
  if (other !== null && other !== undefined) {
    finding.lock(other, 'access exclusive');
    finding.scans.add(other);
  }
  finding.breaksNew.push(`makes ${partition} a partition of ${table}`);
  finding.breaksOld.push(`makes ${partition} a partition of ${table}: its rows appear there`);
}

function detachPartition({ script, finding, table, command }: Subcommand): void {
  const definition = as(command.def, 'PartitionCmd') ?? {};
  const partition = script.relation(definition.name);
  const isConcurrent = definition.concurrent === true;
  finding.lock(partition, 'access exclusive');
  if (isConcurrent) finding.transaction = 'outside';
  const other = script.table(table)?.defaultPartition;
  if (!isConcurrent && other !== null && other !== undefined) finding.lock(other, 'access exclusive');
  finding.breaksOld.push(`takes ${partition} out of ${table}: its rows vanish there`);
  finding.breaksNew.push(`takes ${partition} out of ${table}`);
}

function rewriteWhole(subcommand: Subcommand): void {
  subcommand.finding.rewrites.add(subcommand.table);
  subcommand.finding.scans.add(subcommand.table);
}

function inherit({ script, finding, table, command }: Subcommand): void {
  const parent = script.relation(as(command.def, 'RangeVar'));
  // What leaves its parent does not lock it.
  if (command.subtype === 'AT_AddInherit') finding.lock(parent, 'share update exclusive');
  finding.breaksOld.push(`changes whether rows of ${table} appear in ${parent}`);
  finding.breaksNew.push(`changes whether rows of ${table} appear in ${parent}`);
}

const nothing: Reader = () => undefined;

/** Lock on the table, whether tables below it take it too, and what it means. Locks are those of PostgreSQL 15. */
const readers: { readonly [subtype: string]: readonly [LockMode, Reader] } = {
  AT_AddColumn: ['access exclusive', addColumn],
  AT_DropColumn: ['access exclusive', dropColumn],
  AT_AlterColumnType: ['access exclusive', alterType],
  AT_SetNotNull: ['access exclusive', setNotNull],
  AT_DropNotNull: ['access exclusive', dropNotNull],
  AT_ColumnDefault: ['access exclusive', columnDefault],
  AT_AddIdentity: ['access exclusive', identity('makes the server number', 'new')],
  AT_SetIdentity: ['access exclusive', identity('changes how the server numbers', 'old')],
  AT_DropIdentity: ['access exclusive', identity('no longer numbers', 'old')],
  AT_DropExpression: ['access exclusive', identity('no longer computes', 'old')],
  AT_SetStatistics: ['share update exclusive', nothing],
  AT_SetOptions: ['share update exclusive', nothing],
  AT_ResetOptions: ['share update exclusive', nothing],
  AT_SetStorage: ['access exclusive', nothing],
  AT_SetCompression: ['access exclusive', nothing],
  AT_AddConstraint: ['access exclusive', tableRule],
  AT_ValidateConstraint: ['share update exclusive', validate],
  AT_DropConstraint: ['access exclusive', dropConstraint],
  AT_ChangeOwner: ['access exclusive', nothing],
  AT_ClusterOn: ['share update exclusive', nothing],
  AT_DropCluster: ['share update exclusive', nothing],
  AT_SetLogged: ['access exclusive', rewriteWhole],
  AT_SetUnLogged: ['access exclusive', rewriteWhole],
  AT_SetRelOptions: ['share update exclusive', nothing],
  AT_ResetRelOptions: ['share update exclusive', nothing],
  AT_ReplicaIdentity: ['access exclusive', nothing],
  AT_EnableTrig: ['share row exclusive', triggers('turns on')],
  AT_EnableTrigAll: ['share row exclusive', triggers('turns on')],
  AT_EnableTrigUser: ['share row exclusive', triggers('turns on')],
  AT_DisableTrig: ['share row exclusive', triggers('turns off')],
  AT_DisableTrigAll: ['share row exclusive', triggers('turns off')],
  AT_DisableTrigUser: ['share row exclusive', triggers('turns off')],
  AT_AddInherit: ['access exclusive', inherit],
  AT_DropInherit: ['access exclusive', inherit],
  AT_AttachPartition: ['share update exclusive', attachPartition],
  AT_DetachPartition: ['access exclusive', detachPartition],
  AT_EnableRowSecurity: ['access exclusive', rowSecurity('turns row level security on', true)],
  AT_ForceRowSecurity: ['access exclusive', rowSecurity('forces row level security', true)],
  AT_DisableRowSecurity: ['access exclusive', rowSecurity('turns row level security off', false)],
  AT_NoForceRowSecurity: ['access exclusive', rowSecurity('no longer forces row level security', false)],
};

/** Changes that PostgreSQL hands on to every table below. */
const inherited: ReadonlySet<string> = new Set([
  ...['AT_AddColumn', 'AT_DropColumn', 'AT_AlterColumnType', 'AT_SetNotNull', 'AT_DropNotNull'],
  ...['AT_AddConstraint', 'AT_DropConstraint', 'AT_ColumnDefault'],
]);

function lockOf(command: Tree, mode: LockMode): LockMode {
  const constraint = as(command.def, 'Constraint');
  if (constraint?.contype === 'CONSTR_FOREIGN') return 'share row exclusive';
  const detach = as(command.def, 'PartitionCmd');
  return command.subtype === 'AT_DetachPartition' && detach?.concurrent === true
    ? 'share update exclusive'
    : mode;
}

/** Tables that the change is handed on to: rules but CHECK go to partitions alone. */
function below(script: Script, table: string, relation: Tree, command: Tree): readonly string[] {
  const constraint = as(command.def, 'Constraint');
  return constraint === undefined || constraint.contype === 'CONSTR_CHECK'
    ? script.withChildren(table, relation)
    : script.withPartitions(table, relation);
}

/** Rules that an index keeps are kept by an index of each partition: it is made under the lock that an index takes. */
function lockBelow(script: Script, child: string, command: Tree, mode: LockMode): LockMode {
  const constraint = as(command.def, 'Constraint');
  const isIndex = ['CONSTR_UNIQUE', 'CONSTR_PRIMARY', 'CONSTR_EXCLUSION'].includes(text(constraint?.contype));
  const mayBeNull = strings(constraint?.keys).some(
    (column) => script.column(child, column)?.isProvenNotNull !== true,
  );
  if (!isIndex || (constraint?.contype === 'CONSTR_PRIMARY' && mayBeNull)) return lockOf(command, mode);
  return 'share';
}

export function alterTable(script: Script, finding: Finding, node: Tree): void {
  const relation = isTree(node.relation) ? node.relation : {};
  const table = script.relation(relation);
  if (node.missing_ok === true && script.isNowhere(table)) return;
  if (text(node.objtype) === 'OBJECT_INDEX') {
    // Options and attachment of an index: its table is not looked at.
    finding.breaksNew.push(`changes the index ${table}`);
    return;
  }
  if (text(node.objtype) === 'OBJECT_TYPE') {
    finding.breaksOld.push(`changes the type ${table}, which older code may read`);
    finding.breaksNew.push(`changes the type ${table}`);
    finding.change('?', `changes the type ${table}`);
    return;
  }
  for (const command of allOf(node.cmds, 'AlterTableCmd')) {
    const subtype = text(command.subtype);
    const known = readers[subtype];
    if (known === undefined) {
      finding.lock(table, 'access exclusive');
      finding.unknown(`has a change of ${table} whose effect is not known (${subtype.replace('AT_', '')})`);
      continue;
    }
    const [mode, read] = known;
    const isOption = text(node.objtype) === 'OBJECT_VIEW' && subtype.endsWith('RelOptions');
    finding.lock(table, isOption ? 'access exclusive' : lockOf(command, mode));
    for (const child of inherited.has(subtype) ? below(script, table, relation, command) : []) {
      if (child !== table) finding.lock(child, lockBelow(script, child, command, mode));
    }
    // Nobody knows a table that the script has made itself: what it does to others still counts.
    const own = script.isNew(table) ? new Finding() : finding;
    read({ script, finding: own, table, relation, command });
    if (own !== finding) finding.takeCost(own);
  }
}
