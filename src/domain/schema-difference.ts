/** A schema's parts by name, each with what it is: `entries.mood` → `TEXT NOT NULL DEFAULT 'calm'`. */
export type SchemaParts = { readonly [part: string]: string };

const mostNamed = 6;
const longestText = 80;

function withText(name: string, whole: string): string {
  if (whole === '') return name;
  const text = whole.length > longestText ? `${whole.slice(0, longestText - 1)}…` : whole;
  return text.startsWith('(') ? `${name} ${text}` : `${name} (${text})`;
}

/** In which parts a schema is another one, in a few words; null when the parts tell of no difference. */
export function schemaDifference(before: SchemaParts, after: SchemaParts): string | null {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  // What becomes of a whole table is told once, and not again for each of its parts.
  const whole = new Set(names.filter((name) => before[name] === undefined || after[name] === undefined));
  const isPartOf = (name: string): boolean =>
    [...whole].some(
      (other) =>
        other !== name &&
        (name.startsWith(`${other}.`) || name.startsWith(`${other} `)) &&
        !other.includes('.'),
    );
  const differing = names.filter((name) => before[name] !== after[name] && !isPartOf(name));
  if (differing.length === 0) return null;
  const told = differing.slice(0, mostNamed).map((name) => {
    const was = before[name];
    const is = after[name];
    if (was !== undefined && is === undefined) return `${withText(name, was)} is missing`;
    if (was === undefined && is !== undefined) return `${withText(name, is)} was not there before`;
    return `${name} is ${is || 'plain'}, was ${was || 'plain'}`;
  });
  const rest = differing.length - told.length;
  return [...told, ...(rest > 0 ? [`and ${rest} more`] : [])].join('; ');
}
