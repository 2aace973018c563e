import type { Tree } from '../parse.ts';

/** Reading PostgreSQL's parse tree, whose nodes are objects with their kind as the only key. */
export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function list(value: unknown): readonly Tree[] {
  return Array.isArray(value) ? value.filter(isTree) : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The node of this kind within `{kind: node}`; undefined for any other. */
export function as(value: unknown, kind: string): Tree | undefined {
  const node = isTree(value) ? value[kind] : undefined;
  return isTree(node) ? node : undefined;
}

/** The strings of a list of String nodes: a qualified name, say. */
export function strings(value: unknown): readonly string[] {
  return list(value).flatMap((item) => text(as(item, 'String')?.sval) || []);
}

/** The elements of a list that are of this kind. */
export function allOf(items: unknown, kind: string): readonly Tree[] {
  return list(items).flatMap<Tree>((item) => as(item, kind) ?? []);
}

/** Every node of a kind, however deep. */
export function nodesOf(tree: unknown, kind: string): readonly Tree[] {
  if (Array.isArray(tree)) return tree.flatMap((item) => nodesOf(item, kind));
  if (!isTree(tree)) return [];
  return Object.entries(tree).flatMap(([key, value]) => [
    ...(key === kind && isTree(value) ? [value] : []),
    ...nodesOf(value, kind),
  ]);
}

/** A type as `format_type` writes it, for the names that grammar and catalogue spell differently. */
export function typeText(typeName: unknown): string {
  if (!isTree(typeName)) return '?';
  const names = strings(typeName.names);
  const name = names.at(-1) ?? '?';
  const spelled = names[0] === 'pg_catalog' ? (spellings[name] ?? name) : name;
  const modifiers = list(typeName.typmods).flatMap((item) => {
    const constant = as(item, 'A_Const');
    return isTree(constant?.ival) ? [String(constant.ival.ival ?? 0)] : [];
  });
  const array = list(typeName.arrayBounds).length > 0 ? '[]' : '';
  if (modifiers.length === 0) return `${spelled}${array}`;
  const at = spelled.indexOf(' with');
  const [head, tail] = at === -1 ? [spelled, ''] : [spelled.slice(0, at), spelled.slice(at)];
  return `${head}(${modifiers.join(',')})${tail}${array}`;
}

const spellings: { readonly [name: string]: string } = {
  bool: 'boolean',
  bpchar: 'character',
  float4: 'real',
  float8: 'double precision',
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  time: 'time without time zone',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
  timetz: 'time with time zone',
  varbit: 'bit varying',
  varchar: 'character varying',
};
