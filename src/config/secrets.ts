import { UnshipError } from '../domain/errors.ts';
import { isSecretReference, Secret, type SecretReference } from '../domain/secret.ts';

export type ProcessEnvironment = { readonly [name: string]: string | undefined };

/** Shorter ones can't be masked without blanking ordinary words, and protect nothing. */
const shortestSecret = 8;

/**
 * The value behind a reference. It comes from the environment only: never from arguments, which every process
 * on the machine can read, and never from a file inside the checkout. Throws `secret-missing`.
 */
export function revealSecret(reference: SecretReference, environment: ProcessEnvironment): Secret {
  const name = reference.$secret;
  const happened = secretProblem(name, environment);
  const value = environment[name];
  if (happened === undefined && value !== undefined) return new Secret(value);
  throw new UnshipError('secret-missing', {
    happened: happened ?? `the environment variable ${name} is not set`,
    next: `set ${name} to the whole secret and repeat the command`,
  });
}

/** Why the variable can't be used, in words; undefined when it can. */
export function secretProblem(name: string, environment: ProcessEnvironment): string | undefined {
  const value = environment[name];
  if (value === undefined || value === '') return `the environment variable ${name} is not set`;
  if (value.length >= shortestSecret) return undefined;
  return `${name} has ${value.length} characters; a secret has at least ${shortestSecret}`;
}

/** Names of all environment variables that a definition refers to, each once. */
export function secretNames(definition: unknown): readonly string[] {
  const names = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (isSecretReference(value)) names.add(value.$secret);
    else for (const item of Object.values(value)) visit(item);
  };
  visit(definition);
  return [...names];
}

/**
 * Names that a configuration's source text refers to: while the file is evaluated it can already print, and
 * what it evaluates to is not known yet, or never when it throws.
 */
export function secretNamesInText(text: string): readonly string[] {
  const references = text.matchAll(/(?:\bsecret\(|\$secret['"]?\s*:)\s*['"`]([A-Za-z_][A-Za-z0-9_]*)['"`]/g);
  return [...new Set([...references].map((match) => match[1] ?? ''))];
}

/** The values that must not leave: of every name that is set here, and of an address the password in it. */
export function secretValues(names: readonly string[], environment: ProcessEnvironment): readonly string[] {
  return names
    .map((name) => environment[name])
    .filter((value): value is string => value !== undefined)
    .flatMap((value) => [value, ...passwordIn(value)])
    .filter((value) => value.length >= shortestSecret);
}

function passwordIn(value: string): readonly string[] {
  const written = URL.canParse(value) ? new URL(value).password : '';
  if (written === '') return [];
  try {
    return [...new Set([written, decodeURIComponent(written)])];
  } catch {
    return [written];
  }
}
