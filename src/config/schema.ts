import * as z from 'zod/mini';
import type { ApplicationDefinition } from '../domain/definition.ts';
import { isSafeName } from '../domain/names.ts';
import { channelOptions, duration, secretReference, surfaceOptions } from './provider-schema.ts';

/** One thing that is wrong, and where: `environments.production.surfaces.web.options.switch`. */
export interface ConfigurationProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

const name = z.string().check(
  // What every object inherits (`constructor`, `toString`) would be found where no such surface is.
  z.refine((text) => isSafeName(text) && !(text in {}), {
    error: 'use letters, digits, dot, dash and underscore; start with a letter or digit; at most 100',
  }),
);

const positive = z.int().check(z.positive());

const check = z.union([
  z.strictObject({
    http: z.string().check(z.startsWith('/', 'write a path that starts with /')),
    surface: z.optional(z.string()),
    status: z.optional(z.int().check(z.gte(100), z.lte(599))),
    body: z.optional(z.string()),
    within: z.optional(duration),
  }),
  z.strictObject({
    command: z.array(z.string()).check(z.minLength(1, 'write a program and its arguments')),
    name: z.optional(z.string()),
    within: z.optional(duration),
  }),
]);

const surface = z.strictObject({
  provider: z.string(),
  kind: z.enum(['web', 'desktop', 'database']),
  options: z.unknown(),
});

const channel = z.strictObject({ provider: z.string(), options: z.unknown() });

/** Where the history is kept, when it is not a file of this machine. */
const state = z.strictObject({
  provider: z.literal('postgres'),
  options: z.strictObject({ url: secretReference }),
});

const environment = z.strictObject({
  surfaces: z.record(name, surface),
  checks: z.optional(z.array(check)),
  guard: z.optional(
    z.strictObject({
      bake: z.optional(duration),
      every: z.optional(duration),
      failures: z.optional(positive),
      desktop: z.optional(z.enum(['after', 'during'])),
      onUnhealthy: z.optional(z.enum(['page', 'rollback'])),
    }),
  ),
  notifications: z.optional(
    z.strictObject({ team: z.optional(z.array(channel)), users: z.optional(z.array(channel)) }),
  ),
  rehearsal: z.optional(z.enum(['required', 'off'])),
  approvals: z.optional(z.array(z.enum(['release', 'rollback']))),
  state: z.optional(state),
});

const application = z.strictObject({ name, environments: z.record(name, environment) });

/** Every problem. Empty means the value is an `ApplicationDefinition`. */
export function problemsOf(value: unknown): readonly ConfigurationProblem[] {
  const problems = checkShape(application, value, []);
  for (const [key, body] of entriesOf(value, 'environments')) {
    problems.push(...providerProblems(['environments', key], body));
  }
  if (problems.length > 0) return problems;
  const environments = Object.entries((value as ApplicationDefinition).environments);
  if (environments.length === 0) return [{ path: ['environments'], message: 'names no environment' }];
  return environments.flatMap(([key, body]) => contradictions(['environments', key], body));
}

/** Options of providers, of whatever part of an environment has the right shape. */
function providerProblems(
  path: readonly (string | number)[],
  body: unknown,
): readonly ConfigurationProblem[] {
  const problems: ConfigurationProblem[] = [];
  for (const [key, item] of entriesOf(body, 'surfaces')) {
    const parsed = surface.safeParse(item);
    if (parsed.success)
      problems.push(...optionProblems(surfaceOptions, parsed.data, [...path, 'surfaces', key]));
  }
  const notifications = (body as { readonly notifications?: unknown } | null | undefined)?.notifications;
  for (const audience of ['team', 'users']) {
    for (const [index, item] of entriesOf(notifications, audience)) {
      const at = [...path, 'notifications', audience, Number(index)];
      const parsed = channel.safeParse(item);
      if (parsed.success) problems.push(...optionProblems(channelOptions, parsed.data, at));
    }
  }
  return problems;
}

function entriesOf(value: unknown, key: string): readonly [string, unknown][] {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return [];
  const found = (value as { readonly [key: string]: unknown })[key];
  return typeof found === 'object' && found !== null ? Object.entries(found) : [];
}

type EnvironmentBody = ApplicationDefinition['environments'][string];

/** What is well formed and still can't be meant. */
function contradictions(path: readonly (string | number)[], body: EnvironmentBody): ConfigurationProblem[] {
  const problems: ConfigurationProblem[] = [];
  const surfaces = Object.entries(body.surfaces);
  if (surfaces.length === 0) problems.push({ path: [...path, 'surfaces'], message: 'names no surface' });
  if (Object.hasOwn(body.surfaces, 'unship')) {
    const message = '`unship` is the program itself; choose another name';
    problems.push({ path: [...path, 'surfaces', 'unship'], message });
  }
  const webs = surfaces.filter(([, definition]) => definition.kind === 'web').map(([key]) => key);
  for (const [index, item] of (body.checks ?? []).entries()) {
    const message = 'http' in item ? checkedSurfaceProblem(item.surface, webs) : undefined;
    if (message !== undefined) problems.push({ path: [...path, 'checks', index, 'surface'], message });
  }
  return problems;
}

function checkedSurfaceProblem(named: string | undefined, webs: readonly string[]): string | undefined {
  if (named !== undefined && !webs.includes(named)) return `there is no web surface \`${named}\``;
  if (named === undefined && webs.length === 0) return 'there is no web surface to ask';
  if (named === undefined && webs.length > 1) return `say which surface is asked: ${webs.join(', ')}`;
  return undefined;
}

interface Known {
  readonly [provider: string]: { readonly kind?: string; readonly options: z.ZodMiniType };
}

function optionProblems(
  known: Known,
  definition: { readonly provider: string; readonly kind?: string; readonly options: unknown },
  path: readonly (string | number)[],
): readonly ConfigurationProblem[] {
  const found = Object.hasOwn(known, definition.provider) ? known[definition.provider] : undefined;
  if (found === undefined) {
    const message = `there is no provider \`${definition.provider}\` here; there are ${Object.keys(known).join(', ')}`;
    return [{ path: [...path, 'provider'], message }];
  }
  if (found.kind !== undefined && found.kind !== definition.kind) {
    return [{ path: [...path, 'kind'], message: `${definition.provider} is of kind ${found.kind}` }];
  }
  return checkShape(found.options, definition.options, [...path, 'options']);
}

function checkShape(
  schema: z.ZodMiniType,
  value: unknown,
  base: readonly (string | number)[],
): ConfigurationProblem[] {
  const result = schema.safeParse(value);
  return result.success ? [] : result.error.issues.flatMap((issue) => explain(issue, [...base], value));
}

type Issue = z.core.$ZodIssue;

function explain(issue: Issue, base: (string | number)[], root: unknown): ConfigurationProblem[] {
  const path = [...base, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'there is no such setting' }));
  }
  if (issue.code === 'invalid_union') return explainUnion(issue, path, valueAt(root, issue.path));
  if (issue.code === 'invalid_key') {
    return [{ path, message: `is no name: ${issue.issues[0]?.message ?? 'not a name'}` }];
  }
  const value = valueAt(root, issue.path);
  // A secret that was written down must not be printed by the very message that says so.
  if (issue.message.startsWith('secret(')) return [{ path, message: `must be ${issue.message}` }];
  if (issue.code === 'invalid_type' && value === undefined)
    return [{ path, message: `is missing: ${wanted(issue)}` }];
  if (issue.code === 'invalid_type')
    return [{ path, message: `must be ${wanted(issue)}, not ${shown(value)}` }];
  if (issue.code === 'invalid_value') {
    const values = issue.values.map((one) => JSON.stringify(one)).join(' or ');
    return [{ path, message: `must be ${values}, not ${shown(value)}` }];
  }
  const why = wanted(issue);
  return [{ path, message: `${shown(value)} is not right${why === '' ? '' : `: ${why}`}` }];
}

/**
 * None of several shapes fits. The one a person meant is the one whose keys they used, so only its problems
 * are told.
 */
function explainUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: (string | number)[],
  value: unknown,
): ConfigurationProblem[] {
  const scored = issue.errors
    .filter((issues) => !issues.some((one) => one.path.length === 0 && one.code === 'invalid_type'))
    .map((issues) => ({ issues, weight: issues.reduce((sum, one) => sum + weightOf(one), 0) }))
    .sort((a, b) => a.weight - b.weight);
  const best = scored[0];
  if (best !== undefined) return best.issues.flatMap((one) => explain(one, path, value));
  const types = [...new Set(issue.errors.flat().map((one) => wanted(one)))].filter((type) => type !== '');
  const message =
    value === undefined
      ? `is missing: ${types.join(' or ')}`
      : `must be ${types.join(' or ')}, not ${shown(value)}`;
  return [{ path, message }];
}

/** An unknown key says most clearly that another shape was meant. */
function weightOf(issue: Issue): number {
  return issue.code === 'unrecognized_keys' ? 10 * issue.keys.length : 1;
}

const typeNames: { readonly [type: string]: string } = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function wanted(issue: Issue): string {
  if (issue.message !== '' && issue.message !== 'Invalid input') return issue.message;
  if (issue.code === 'invalid_type') return typeNames[issue.expected] ?? issue.expected;
  if (issue.code === 'invalid_value') return issue.values.map((one) => JSON.stringify(one)).join(' or ');
  return '';
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as { readonly [key: PropertyKey]: unknown })[part];
  }
  return value;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
