import type { Tree } from '../parse.ts';
import { columnRules } from './constraints.ts';
import { nameIn } from './known.ts';
import type { Script } from './script.ts';
import { allOf, as, isTree, list, nodesOf, strings, text } from './tree.ts';
import type { Finding } from './verdict.ts';

type Reader = (script: Script, finding: Finding, node: Tree) => void;

function referTo(script: Script, finding: Finding, constraints: readonly Tree[], own: string): void {
  for (const constraint of constraints) {
    const parent = script.relation(constraint.pktable);
    if (constraint.contype === 'CONSTR_FOREIGN' && parent !== own)
      finding.lock(parent, 'share row exclusive');
  }
}

function createTable(script: Script, finding: Finding, node: Tree): void {
  const relation = isTree(node.relation) ? node.relation : {};
  const table = script.relation(relation);
  const isThere = node.if_not_exists === true && script.table(table) !== undefined;
  if (isThere) return;
  if (node.partbound !== undefined) {
    // A partition is locked with its parent, and the default one is read for rows that belong here now.
    const parent = script.relation(as(list(node.inhRelations)[0], 'RangeVar'));
    finding.lock(parent, 'access exclusive');
    const other = script.table(parent)?.defaultPartition;
    if (other !== null && other !== undefined) {
      finding.lock(other, 'access exclusive');
      finding.scans.add(other);
    }
  } else {
    for (const parent of allOf(node.inhRelations, 'RangeVar')) {
      finding.lock(script.relation(parent), 'share update exclusive');
    }
  }
  const columns = allOf(node.tableElts, 'ColumnDef');
  const rules = columns.flatMap((column) => columnRules(column.constraints).others);
  referTo(script, finding, [...rules, ...allOf(node.tableElts, 'Constraint')], table);
  script.created.add(table);
  if (text(relation.relpersistence) !== 't') finding.breaksNew.push(`adds the table ${table}`);
}

function createTableAs(script: Script, finding: Finding, node: Tree): void {
  const into = isTree(node.into) ? node.into : {};
  const table = script.relation(into.rel);
  script.created.add(table);
  const isView = text(node.objtype) === 'OBJECT_MATVIEW';
  finding.breaksNew.push(`adds the ${isView ? 'materialised view' : 'table'} ${table}`);
}

function createIndex(script: Script, finding: Finding, node: Tree): void {
  const relation = isTree(node.relation) ? node.relation : {};
  const table = script.relation(relation);
  const index = text(node.idxname) || `an index of ${table}`;
  const isConcurrent = node.concurrent === true;
  const tables = script.withPartitions(table, relation);
  for (const each of tables) {
    finding.lock(each, isConcurrent ? 'share update exclusive' : 'share');
  }
  for (const each of tables.filter((one) => script.holdsRows(one))) finding.scans.add(each);
  if (isConcurrent) {
    finding.transaction = 'outside';
    finding.remarks.push(
      'it waits for every transaction that is open; cut off, it leaves an invalid index behind',
    );
  }
  if (node.unique !== true || script.isNew(table)) return;
  finding.breaksOld.push(`makes rows of ${table} unique (${index}), which older code need not heed`);
  finding.breaksNew.push(`adds the unique index ${index}`);
  finding.remarks.push('it fails where two rows are alike');
}

function createView(script: Script, finding: Finding, node: Tree): void {
  const view = script.relation(node.view);
  const isThere = script.known === undefined || script.table(view) !== undefined;
  if (node.replace === true && isThere && !script.isNew(view)) {
    finding.lock(view, 'access exclusive');
    finding.breaksOld.push(`replaces the view ${view}, whose rows older code knows as they were`);
    finding.breaksNew.push(`replaces the view ${view}`);
    return;
  }
  script.created.add(view);
  finding.breaksNew.push(`adds the view ${view}`);
}

function createTrigger(script: Script, finding: Finding, node: Tree): void {
  const table = script.relation(node.relation);
  finding.lock(table, 'share row exclusive');
  if (script.isNew(table)) return;
  finding.breaksOld.push(
    `adds the trigger ${text(node.trigname)} on ${table}, which changes what older code writes`,
  );
  finding.breaksNew.push(`adds the trigger ${text(node.trigname)}`);
}

function createPolicy(script: Script, finding: Finding, node: Tree): void {
  const table = script.relation(node.table);
  finding.lock(table, 'access exclusive');
  if (script.isNew(table)) return;
  const policy = `the policy ${text(node.policy_name)} to ${table}`;
  finding.breaksNew.push(`adds ${policy}`);
  if (node.permissive !== true) finding.breaksOld.push(`adds ${policy}, which hides rows from older code`);
}

function alterPolicy(script: Script, finding: Finding, node: Tree): void {
  const table = script.relation(node.table);
  finding.lock(table, 'access exclusive');
  finding.breaksOld.push(
    `changes the policy ${text(node.policy_name)} of ${table}, and so which rows there are for older code`,
  );
  finding.breaksNew.push(`changes the policy ${text(node.policy_name)} of ${table}`);
}

function createFunction(script: Script, finding: Finding, node: Tree): void {
  const name = script.named(strings(node.funcname));
  const isThere = script.known === undefined || script.known.functions.has(name);
  if (node.replace === true && isThere) {
    finding.breaksOld.push(`replaces ${name}(), which older code and its triggers may call`);
    finding.breaksNew.push(`replaces ${name}()`);
    return;
  }
  finding.breaksNew.push(`adds ${name}()`);
}

function createRule(script: Script, finding: Finding, node: Tree): void {
  const table = script.relation(node.relation);
  finding.lock(table, 'access exclusive');
  finding.breaksOld.push(`adds a rule to ${table}, which rewrites what older code asks`);
  finding.breaksNew.push(`adds a rule to ${table}`);
}

function createStatistics(script: Script, finding: Finding, node: Tree): void {
  for (const relation of allOf(node.relations, 'RangeVar')) {
    finding.lock(script.relation(relation), 'share update exclusive');
  }
}

function publish(script: Script, finding: Finding, node: Tree): void {
  if (node.action !== undefined && node.action !== 'AP_AddObjects') {
    finding.unknown('changes a publication in a way that is not known');
    return;
  }
  const named = nodesOf(node.pubobjects, 'relation').map((relation) => script.relation(relation));
  for (const table of named) finding.lock(table, 'share update exclusive');
  finding.breaksNew.push(`publishes changes as ${text(node.pubname)}`);
  const isWhole = named.length === 0 && (node.for_all_tables === true || node.pubobjects !== undefined);
  const tables = isWhole ? [...(script.known?.tables.keys() ?? ['?'])] : named;
  const stuck = tables.filter((table) => {
    const found = script.table(table);
    return !script.isNew(table) && (found === undefined || (found.holdsRows && !found.hasReplicaIdentity));
  });
  if (stuck.length === 0) return;
  finding.breaksOld.push(
    `publishes ${stuck.slice(0, 3).join(', ')}: without a replica identity its rows can no longer be updated or deleted`,
  );
}

/** Something new that nothing from before knows: its name is what newer code needs. */
function adds(what: string, name: (script: Script, node: Tree) => string): Reader {
  return (script, finding, node) => finding.breaksNew.push(`adds the ${what} ${name(script, node)}`);
}

const named =
  (field: string): ((script: Script, node: Tree) => string) =>
  (script, node) =>
    script.named(strings(node[field]));

export const createReaders: { readonly [kind: string]: Reader } = {
  CreateStmt: createTable,
  CreateTableAsStmt: createTableAs,
  IndexStmt: createIndex,
  ViewStmt: createView,
  CreateTrigStmt: createTrigger,
  CreatePolicyStmt: createPolicy,
  AlterPolicyStmt: alterPolicy,
  CreateFunctionStmt: createFunction,
  RuleStmt: createRule,
  CreateStatsStmt: createStatistics,
  CreatePublicationStmt: publish,
  AlterPublicationStmt: publish,
  CreateEnumStmt: adds('type', named('typeName')),
  CompositeTypeStmt: adds('type', (script, node) => script.relation(node.typevar)),
  CreateRangeStmt: adds('type', named('typeName')),
  CreateDomainStmt: adds('domain', named('domainname')),
  CreateSeqStmt: adds('sequence', (script, node) => script.relation(node.sequence)),
  CreateSchemaStmt: adds('schema', (_script, node) => text(node.schemaname)),
  CreateExtensionStmt: adds('extension', (_script, node) => text(node.extname)),
  CreateRoleStmt: adds('role', (_script, node) => text(node.role)),
  DefineStmt: adds('object', (script, node) => nameIn('', script.named(strings(node.defnames)))),
};
