/** A part of an exported value that is no plain data, and what a person is told of it. */
export interface UnplainPart {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** The configuration is stored with each release and hashed, so it must be data all the way down. */
export function unplainPart(
  value: unknown,
  path: readonly (string | number)[] = [],
  depth: number = 0,
): UnplainPart | undefined {
  if (depth > 50) return { path, message: 'goes deeper than 50 levels, or in a circle' };
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return undefined;
  if (Array.isArray(value)) {
    return firstOf(value, (item, index) => unplainPart(item, [...path, index], depth + 1));
  }
  if (typeof value === 'object' && isPlain(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return firstOf(entries, ([key, item]) => unplainPart(item, [...path, key], depth + 1));
  }
  const what =
    typeof value === 'object' ? `a ${value.constructor?.name ?? 'special object'}` : String(typeof value);
  return { path, message: `must be plain data (text, number, true, false, list, object), not ${what}` };
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function firstOf<T>(
  items: readonly T[],
  look: (item: T, index: number) => UnplainPart | undefined,
): UnplainPart | undefined {
  for (const [index, item] of items.entries()) {
    const problem = look(item, index);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
