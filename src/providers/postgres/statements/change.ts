import type { Tree } from '../parse.ts';
import type { Script } from './script.ts';
import { allOf, as, isTree, list, strings, text, typeText } from './tree.ts';
import type { Finding } from './verdict.ts';

type Reader = (script: Script, finding: Finding, node: Tree) => void;

const relationKinds: { readonly [kind: string]: string } = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'view',
  OBJECT_MATVIEW: 'materialised view',
  OBJECT_FOREIGN_TABLE: 'foreign table',
};

/** Objects that hang on a table: the last part of their name is theirs, what stands before it the table's. */
const partKinds: { readonly [kind: string]: string } = {
  OBJECT_TRIGGER: 'trigger',
  OBJECT_POLICY: 'policy',
  OBJECT_RULE: 'rule',
};

/** A dropped object as one reads it: names of lists, types, and functions with their arguments. */
function droppedName(script: Script, object: Tree): string {
  const items = as(object, 'List');
  if (items !== undefined) return script.named(strings(items.items));
  const typeName = as(object, 'TypeName');
  if (typeName !== undefined) return script.named(typeText(typeName).split('.'));
  const routine = as(object, 'ObjectWithArgs');
  return routine === undefined ? text(as(object, 'String')?.sval) : script.named(strings(routine.objname));
}

function dropRelation(script: Script, finding: Finding, kind: string, name: string, cascades: boolean): void {
  finding.lock(name, 'access exclusive');
  const table = script.table(name);
  // Foreign keys are kept by triggers on both sides: those on the other tables go as well.
  for (const parent of table?.references.values() ?? []) finding.lock(parent, 'access exclusive');
  for (const child of kind === 'table' ? (table?.children ?? []) : [])
    finding.lock(child, 'access exclusive');
  if (cascades) {
    for (const other of [...script.referring(name), ...(table?.views ?? [])]) {
      finding.lock(other, 'access exclusive');
    }
    finding.remarks.push('CASCADE drops whatever depends on it as well');
  }
  if (script.created.delete(name)) return;
  script.dropped.add(name);
  finding.breaksOld.push(`drops the ${kind} ${name}, which older code may read`);
  if (kind === 'table' || kind === 'foreign table')
    finding.change(name, `drops the table ${name} with its rows`);
}

function dropIndex(script: Script, finding: Finding, name: string, isConcurrent: boolean): void {
  const table = script.tableOfIndex(name);
  if (isConcurrent) finding.transaction = 'outside';
  if (table !== undefined) finding.lock(table, isConcurrent ? 'share update exclusive' : 'access exclusive');
  else if (!isConcurrent) finding.remarks.push(`reads and writes of the table of ${name} wait for a moment`);
  finding.remarks.push(`queries that used ${name} get slow`);
}

function drop(script: Script, finding: Finding, node: Tree): void {
  const kind = text(node.removeType);
  const cascades = text(node.behavior) === 'DROP_CASCADE';
  for (const object of list(node.objects)) {
    const name = droppedName(script, object);
    const relation = relationKinds[kind];
    const part = partKinds[kind];
    if (relation !== undefined && node.missing_ok === true && script.isNowhere(name)) continue;
    if (relation !== undefined) dropRelation(script, finding, relation, name, cascades);
    else if (kind === 'OBJECT_INDEX') dropIndex(script, finding, name, node.concurrent === true);
    else if (kind === 'OBJECT_STATISTIC_EXT') {
      const table = script.known?.statistics.get(name);
      if (table !== undefined) finding.lock(table, 'share update exclusive');
    } else if (part !== undefined) {
      const parts = strings(as(object, 'List')?.items);
      const table = script.named(parts.slice(0, -1));
      finding.lock(table, 'access exclusive');
      if (!script.isNew(table)) {
        finding.breaksOld.push(`drops the ${part} ${parts.at(-1)} of ${table}, which older code may rely on`);
      }
    } else {
      const what = kind.replace('OBJECT_', '').toLowerCase().replace('_', ' ');
      finding.breaksOld.push(`drops the ${what} ${name}, which older code may rely on`);
      if (!cascades) continue;
      // Columns, tables and triggers may be among it, and nobody can tell from the text which.
      finding.isKnown = false;
      finding.change('?', `drops the ${what} ${name} and whatever depends on it`);
      finding.remarks.push('CASCADE drops whatever depends on it as well, columns among it');
    }
  }
}

function renameRelation(script: Script, finding: Finding, kind: string, node: Tree): void {
  const name = script.relation(node.relation);
  const target = script.named([...name.split('.').slice(0, -1), text(node.newname)]);
  finding.lock(name, 'access exclusive');
  if (!script.isNew(name)) {
    finding.breaksOld.push(`renames the ${kind} ${name}, which older code may read`);
    finding.breaksNew.push(`renames ${name} to ${target}`);
    return;
  }
  script.created.delete(name);
  if (!script.dropped.has(target)) {
    script.created.add(target);
    return;
  }
  finding.breaksOld.push(`rebuilds ${target}, whose columns and rules older code may not know`);
  finding.breaksNew.push(`rebuilds ${target}`);
  finding.change(target, `rebuilds ${target} from its rows`);
}

function rename(script: Script, finding: Finding, node: Tree): void {
  const kind = text(node.renameType);
  const relation = relationKinds[kind];
  if (relation !== undefined) {
    renameRelation(script, finding, relation, node);
    return;
  }
  // No code names an index or a rule of a table.
  if (kind === 'OBJECT_INDEX') return;
  if (
    isTree(node.relation) &&
    ['OBJECT_COLUMN', 'OBJECT_TABCONSTRAINT', 'OBJECT_TRIGGER', 'OBJECT_POLICY', 'OBJECT_RULE'].includes(kind)
  ) {
    const table = script.relation(node.relation);
    const tables = kind === 'OBJECT_COLUMN' ? script.withChildren(table, node.relation) : [table];
    for (const each of tables) finding.lock(each, 'access exclusive');
    if (kind !== 'OBJECT_COLUMN' || script.isNew(table)) return;
    finding.breaksOld.push(`renames ${table}.${text(node.subname)}, which older code may read`);
    finding.breaksNew.push(`renames ${table}.${text(node.subname)} to ${text(node.newname)}`);
    return;
  }
  const what = kind.replace('OBJECT_', '').toLowerCase().replace('_', ' ');
  finding.breaksOld.push(`renames a ${what} to ${text(node.newname)}, which older code may name`);
  finding.breaksNew.push(`renames a ${what} to ${text(node.newname)}`);
}

function setSchema(script: Script, finding: Finding, node: Tree): void {
  const name = isTree(node.relation)
    ? script.relation(node.relation)
    : droppedName(script, isTree(node.object) ? node.object : {});
  if (isTree(node.relation)) finding.lock(name, 'access exclusive');
  finding.breaksOld.push(
    `moves ${name} to the schema ${text(node.newschema)}, where older code does not look`,
  );
  finding.breaksNew.push(`moves ${name} to the schema ${text(node.newschema)}`);
}

function alterEnum(script: Script, finding: Finding, node: Tree): void {
  const name = script.named(strings(node.typeName));
  if (node.oldVal !== undefined) {
    finding.breaksOld.push(`renames the value ${text(node.oldVal)} of ${name}, which older code may write`);
    finding.breaksNew.push(`renames a value of ${name}`);
    return;
  }
  finding.breaksNew.push(`adds the value ${text(node.newVal)} to ${name}`);
  finding.remarks.push(
    'a value of an enum can not be taken away again, and its own transaction can not use it yet',
  );
}

function grant(script: Script, finding: Finding, node: Tree): void {
  if (node.is_grant === true) {
    finding.breaksNew.push('grants rights');
    return;
  }
  const objects = list(node.objects).map((object) => {
    const relation = as(object, 'RangeVar');
    return relation === undefined ? 'an object' : script.relation(relation);
  });
  finding.breaksOld.push(
    `takes rights on ${objects.join(', ') || 'every object of a schema'} away, which older code may need`,
  );
}

function truncate(script: Script, finding: Finding, node: Tree): void {
  for (const relation of allOf(node.relations, 'RangeVar')) {
    const table = script.relation(relation);
    for (const each of script.withChildren(table, relation)) {
      finding.lock(each, 'access exclusive');
    }
    if (text(node.behavior) === 'DROP_CASCADE') {
      for (const other of script.referringDeep(table)) {
        finding.lock(other, 'access exclusive');
        finding.change(other, `empties ${other}, which refers to ${table}`);
      }
    }
    finding.change(table, `empties ${table}`);
  }
}

export const changeReaders: { readonly [kind: string]: Reader } = {
  DropStmt: drop,
  RenameStmt: rename,
  AlterObjectSchemaStmt: setSchema,
  AlterEnumStmt: alterEnum,
  GrantStmt: grant,
  GrantRoleStmt: (_script, finding, node) => {
    if (node.is_grant === true) finding.breaksNew.push('grants a role');
    else finding.breaksOld.push('takes a role away, which older code may need');
  },
  TruncateStmt: truncate,
};
