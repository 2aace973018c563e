import { UnshipError } from '../domain/errors.ts';
import type { Facts } from '../domain/facts.ts';
import { type SchemaParts, schemaDifference } from '../domain/schema-difference.ts';

interface SeenSchema {
  readonly fingerprint: string;
  readonly parts: SchemaParts;
}

/** The schema of each database, to prove that the way back leads where it began. */
export type Schemas = { readonly [surface: string]: SeenSchema };

export function schemasOf(facts: Facts): Schemas {
  return Object.fromEntries(
    Object.entries(facts.surfaces).flatMap(([name, seen]) =>
      seen.kind === 'database'
        ? [[name, { fingerprint: seen.fingerprint, parts: seen.measurements.schema ?? {} }]]
        : [],
    ),
  );
}

/** Throws `rehearsal-failed`, with what is different, unless every schema is the one from before. */
export function requireSameSchemas(before: Schemas, after: Schemas): void {
  const different = Object.entries(before).flatMap(([name, was]) => {
    const is = after[name];
    if (is?.fingerprint === was.fingerprint) return [];
    const how = is === undefined ? null : schemaDifference(was.parts, is.parts);
    return `the schema of ${name} is not what it was before the release${how === null ? '' : `: ${how}`}`;
  });
  if (different.length === 0) return;
  throw new UnshipError('rehearsal-failed', {
    happened: `after the way back ${different.join('; ')}`,
    done: 'nothing live was changed',
    next: 'mend the down migration: up and then down must give the same schema',
  });
}
