import { secretNames, secretProblem } from '../config/secrets.ts';
import type { Parts } from './parts.ts';

/** A secret that the configuration names and that is not there, and who would have needed it. */
export interface MissingSecret {
  readonly name: string;
  readonly happened: string;
  /** A surface can't be moved without it; anything else only tells or checks less. */
  readonly surface: string | null;
}

/** Told before it is needed: during an incident nobody has the time to look for a variable. */
export function missingSecrets({ definition, request }: Parts): readonly MissingSecret[] {
  const needed = new Map<string, string | null>();
  for (const [surface, one] of Object.entries(definition.surfaces)) {
    for (const name of secretNames(one)) needed.set(name, surface);
  }
  for (const name of secretNames(definition)) needed.set(name, needed.get(name) ?? null);
  return [...needed].flatMap(([name, surface]) => {
    const happened = secretProblem(name, request.processEnvironment);
    return happened === undefined ? [] : [{ name, surface, happened }];
  });
}
