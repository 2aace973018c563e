import type { Tree } from '../parse.ts';
import type { Script } from './script.ts';
import { allOf, as, isTree, list, strings, text } from './tree.ts';
import type { Finding, LockMode } from './verdict.ts';

type Reader = (script: Script, finding: Finding, node: Tree) => void;

function hasOption(params: unknown, name: string): boolean {
  return list(params).some((item) => as(item, 'DefElem')?.defname === name);
}

function vacuum(script: Script, finding: Finding, node: Tree): void {
  const isVacuum = node.is_vacuumcmd === true;
  const isFull = hasOption(node.options, 'full');
  if (isVacuum) finding.transaction = 'outside';
  const relations = allOf(node.rels, 'VacuumRelation');
  for (const { relation } of relations) {
    const table = script.relation(relation);
    for (const each of script.withChildren(table, relation)) {
      finding.lock(each, isFull ? 'access exclusive' : 'share update exclusive');
      if (isFull) finding.rewrites.add(each);
      if (isFull) finding.scans.add(each);
    }
  }
  if (relations.length === 0 && isFull)
    finding.unknown('writes every table anew, with reads and writes waiting');
}

function cluster(script: Script, finding: Finding, node: Tree): void {
  if (!isTree(node.relation)) {
    finding.unknown('writes every clustered table anew, with reads and writes waiting');
    return;
  }
  const table = script.relation(node.relation);
  finding.lock(table, 'access exclusive');
  finding.rewrites.add(table);
  finding.scans.add(table);
}

function reindex(script: Script, finding: Finding, node: Tree): void {
  const isConcurrent = hasOption(node.params, 'concurrently');
  if (isConcurrent) finding.transaction = 'outside';
  const name = script.relation(node.relation);
  const table = text(node.kind) === 'REINDEX_OBJECT_INDEX' ? script.tableOfIndex(name) : name;
  if (table === undefined || !isTree(node.relation)) {
    finding.remarks.push('writes to the tables wait until their indexes are built anew');
    return;
  }
  finding.lock(table, isConcurrent ? 'share update exclusive' : 'share');
  finding.scans.add(table);
  if (!isConcurrent) finding.remarks.push(`reads of ${table} that use such an index wait as well`);
}

function refresh(script: Script, finding: Finding, node: Tree): void {
  const view = script.relation(node.relation);
  const isConcurrent = node.concurrent === true;
  finding.lock(view, isConcurrent ? 'exclusive' : 'access exclusive');
  if (!isConcurrent) finding.rewrites.add(view);
}

const modes: readonly (LockMode | null)[] = [
  ...([null, null, null, 'row exclusive', 'share update exclusive', 'share'] as const),
  ...(['share row exclusive', 'exclusive', 'access exclusive'] as const),
];

function lockTable(script: Script, finding: Finding, node: Tree): void {
  const mode = modes[Number(node.mode)] ?? null;
  for (const relation of allOf(node.relations, 'RangeVar')) {
    for (const each of script.withChildren(script.relation(relation), relation)) {
      if (mode !== null) finding.lock(each, mode);
    }
  }
  finding.remarks.push('the lock lasts until the transaction ends');
}

/** COMMENT and SECURITY LABEL look at what they describe under a lock that stops no work. */
function comment(script: Script, finding: Finding, node: Tree): void {
  const items = strings(as(node.object, 'List')?.items);
  const kind = text(node.objtype);
  if (['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW'].includes(kind)) {
    finding.lock(script.named(items), 'share update exclusive');
  } else if (kind === 'OBJECT_COLUMN')
    finding.lock(script.named(items.slice(0, -1)), 'share update exclusive');
}

const settingsOfTime: ReadonlySet<string> = new Set(['lock_timeout', 'statement_timeout']);

function setting(script: Script, finding: Finding, node: Tree): void {
  const name = text(node.name);
  if (name === 'search_path') {
    const [first] = list(node.args).map((item) => {
      const constant = as(item, 'A_Const');
      return isTree(constant?.sval) ? text(constant.sval.sval) : '';
    });
    script.schema = first === undefined || first === '' ? 'public' : first;
    finding.remarks.push('names without a schema mean others from here on');
  } else if (name === 'session_replication_role') {
    finding.remarks.push(
      'triggers and foreign keys are passed over from here on: rows can come to contradict each other',
    );
    finding.breaksOld.push('writes past triggers and foreign keys, which older code relies on');
  } else if (settingsOfTime.has(name)) finding.remarks.push('it bounds how long anybody waits');
  if (node.is_local !== true && !settingsOfTime.has(name)) {
    finding.remarks.push('the setting lasts for the session, beyond this migration');
  }
}

function transaction(_script: Script, finding: Finding, node: Tree): void {
  const kind = text(node.kind);
  if (kind === 'TRANS_STMT_SAVEPOINT' || kind === 'TRANS_STMT_RELEASE' || kind === 'TRANS_STMT_ROLLBACK_TO')
    return;
  finding.transaction = 'ends';
  finding.remarks.push('what stands before it can no longer be taken back together with what comes after');
}

const unknowable =
  (what: string): Reader =>
  (_script, finding) =>
    finding.unknown(what);

const nothing: Reader = () => undefined;

export const upkeepReaders: { readonly [kind: string]: Reader } = {
  VacuumStmt: vacuum,
  ClusterStmt: cluster,
  ReindexStmt: reindex,
  RefreshMatViewStmt: refresh,
  LockStmt: lockTable,
  CommentStmt: comment,
  SecLabelStmt: comment,
  VariableSetStmt: setting,
  VariableShowStmt: nothing,
  TransactionStmt: transaction,
  ConstraintsSetStmt: nothing,
  NotifyStmt: nothing,
  CheckPointStmt: nothing,
  AlterOwnerStmt: nothing,
  AlterDefaultPrivilegesStmt: nothing,
  AlterStatsStmt: nothing,
  AlterSeqStmt: (script, finding, node) =>
    finding.breaksNew.push(`changes the sequence ${script.relation(node.sequence)}`),
  AlterFunctionStmt: (_script, finding) =>
    finding.breaksOld.push('changes how a function runs, which older code may call'),
  AlterDomainStmt: (script, finding, node) => {
    const name = script.named(strings(node.typeName));
    const isHeldAgainst =
      ['C', 'O', 'V'].includes(text(node.subtype)) && as(node.def, 'Constraint')?.skip_validation !== true;
    for (const table of isHeldAgainst ? script.tablesWith(name) : []) {
      finding.lock(table, 'share');
      finding.scans.add(table);
    }
    finding.breaksOld.push(`changes the rules of ${name}, which older code need not heed`);
    finding.breaksNew.push(`changes the rules of ${name}`);
    finding.remarks.push('every table with a column of it is read, with writes to them waiting');
  },
  DoStmt: unknowable('runs a DO block, whose effect can not be known'),
  CallStmt: unknowable('calls a procedure, whose effect can not be known'),
  ExecuteStmt: unknowable('runs a prepared statement, whose effect can not be known'),
  CopyStmt: (script, finding, node) => {
    if (node.is_from === true) finding.lock(script.relation(node.relation), 'row exclusive');
  },
};
