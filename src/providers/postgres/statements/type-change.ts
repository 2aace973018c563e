/** A type as `format_type` writes it, taken apart. */
interface Parts {
  readonly name: string;
  readonly modifiers: readonly number[];
}

function partsOf(type: string): Parts {
  const found = /\(([\d,\s-]+)\)/.exec(type);
  return {
    name: type.replace(/\([\d,\s-]+\)/, ''),
    modifiers: (found?.[1] ?? '').split(',').flatMap((part) => (part.trim() === '' ? [] : Number(part))),
  };
}

const texts: ReadonlySet<string> = new Set(['text', 'character varying']);
const growing: ReadonlySet<string> = new Set([
  ...['character varying', 'bit varying', 'interval', 'timestamp without time zone'],
  ...['timestamp with time zone', 'time without time zone', 'time with time zone'],
]);

/** No limit, or one that everything that fitted before still fits. */
function limitGrows(from: Parts, to: Parts): boolean {
  const [before] = from.modifiers;
  const [after] = to.modifiers;
  return after === undefined || (before !== undefined && after >= before);
}

/**
 * Whether values stay on disk as they are. Everything that is not known to be kept is said to be written anew; the
 * casts of extensions are among it.
 */
export function keepsValues(before: string, after: string): boolean {
  if (before === after) return true;
  const from = partsOf(before);
  const to = partsOf(after);
  if (texts.has(from.name) && texts.has(to.name)) {
    return to.name === 'text' || limitGrows(from, to);
  }
  if (from.name === 'cidr' && to.name === 'inet') return true;
  if (from.name === 'numeric' && to.name === 'numeric') {
    const sameScale = (from.modifiers[1] ?? 0) === (to.modifiers[1] ?? 0);
    return to.modifiers.length === 0 || (sameScale && limitGrows(from, to));
  }
  return from.name === to.name && growing.has(from.name) && limitGrows(from, to);
}

const widths: readonly string[] = ['smallint', 'integer', 'bigint', 'numeric'];

/** Whether code that reads and writes the earlier type can go on: each of its values is one of the new type, written alike. */
export function takesEveryValue(before: string, after: string): boolean {
  if (keepsValues(before, after)) return true;
  const [from, to] = [widths.indexOf(before), widths.indexOf(after)];
  return from !== -1 && to > from;
}
