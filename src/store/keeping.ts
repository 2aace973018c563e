/** What a store asks of whoever opened it. */
export interface Keeping {
  /** The text without its secrets: nothing else is kept. */
  mask(text: string): string;
  /** Puts what is stored of a damaged run aside as evidence, and says where; null when that was not possible. */
  setAside(run: number, evidence: string): string | null;
}

/** For states that no secret reaches: copies, and stores of tests. */
export const plainKeeping: Keeping = { mask: (text) => text, setAside: () => null };

/** The same value with every text in it masked, names of fields too: another program may have written them. */
export function masked<T>(value: T, mask: Keeping['mask']): T {
  const visit = (part: unknown): unknown => {
    if (typeof part === 'string') return mask(part);
    if (Array.isArray(part)) return part.map(visit);
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [mask(key), visit(inner)]));
  };
  return visit(value) as T;
}
