import type { Tree } from '../parse.ts';
import { functionsCalled, type Script, steadiness } from './script.ts';
import { allOf, as, isTree, nodesOf, text } from './tree.ts';
import type { Finding } from './verdict.ts';

/** INSERT, UPDATE, DELETE and MERGE, also within WITH; `SELECT`s that call something. */
export function readWrites(script: Script, finding: Finding, statement: Tree): void {
  for (const node of nodesOf(statement, 'UpdateStmt')) update(script, finding, node);
  for (const node of nodesOf(statement, 'DeleteStmt')) {
    const table = script.relation(node.relation);
    finding.lock(table, 'row exclusive');
    finding.change(table, `deletes rows of ${table}`);
  }
  for (const node of nodesOf(statement, 'InsertStmt')) insert(script, finding, node);
  for (const node of nodesOf(statement, 'MergeStmt')) {
    const table = script.relation(node.relation);
    finding.lock(table, 'row exclusive');
    finding.change(table, `merges other rows into ${table}`);
  }
  const own = functionsCalled(statement).filter((name) => mayChange(script, name));
  if (own.length > 0) finding.unknown(`calls ${own[0]}(), whose effect is not known`);
}

/** Functions of the server that a statement calls only to read, or to set what lasts no longer than the session. */
function mayChange(script: Script, name: string): boolean {
  if (script.known?.functions.has(name) === true) return true;
  if (['set_config', 'setval', 'nextval', 'random', 'gen_random_uuid'].includes(name)) return false;
  const call = { FuncCall: { funcname: [{ String: { sval: name } }] } };
  return steadiness(call) === 'unknown';
}

function update(script: Script, finding: Finding, node: Tree): void {
  const table = script.relation(node.relation);
  const columns = allOf(node.targetList, 'ResTarget').map((target) => `${table}.${text(target.name)}`);
  finding.lock(table, 'row exclusive');
  // Columns that the migration has added itself held nothing that anybody had written.
  if (columns.every((column) => script.addedColumns.has(column))) return;
  finding.change(table, `rewrites ${columns.join(', ')}`);
}

function insert(script: Script, finding: Finding, node: Tree): void {
  const table = script.relation(node.relation);
  finding.lock(table, 'row exclusive');
  const conflict = isTree(node.onConflictClause) ? node.onConflictClause : undefined;
  const select = as(node.selectStmt, 'SelectStmt');
  if (conflict?.action === 'ONCONFLICT_UPDATE') finding.change(table, `overwrites rows of ${table}`);
  else if (select !== undefined && select.valuesLists === undefined)
    finding.change(table, `fills ${table} from other rows`);
}
