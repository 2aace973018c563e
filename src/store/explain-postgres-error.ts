import { isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';

/** What was being done when the server, or the way to it, failed: it decides what is known of what was written. */
export type Moment = 'opening' | 'reading' | 'writing' | 'committing';

/** Names, for errors: the URL holds a password and is never told. */
export interface Place {
  /** `db.example:5432/unship`. */
  readonly server: string;
  readonly schema: string;
  readonly role: string;
}

const done: { readonly [moment in Moment]: string } = {
  opening: 'nothing',
  reading: 'nothing; everything recorded before is there',
  writing: 'what was to be recorded just now was not; everything recorded before it is there',
  committing:
    'whether what was to be recorded just now was recorded is not known: the answer to its commit never came; everything recorded before it is there',
};

const goOn = 'then unship resume; without a run to resume, repeat the command';

/** SQLSTATE of what the server answered; undefined where it answered nothing, or Node failed before it. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === 'string' && severity !== undefined ? code : undefined;
}

/** The session is over, or none could be had: nothing more can be asked on it. */
export function isSessionLost(error: unknown): boolean {
  // What went wrong with an answer that came.
  if (error instanceof TypeError || error instanceof RangeError) return false;
  const state = sqlState(error);
  return state === undefined || /^(08|28|57P0[1-5]|25P03|25P04|3D000|53300)/.test(state);
}

/** Trying again may help: it is no matter of rights or names. */
export function mayComeBack(error: unknown): boolean {
  return isSessionLost(error) && !/^(08P01|28|3D000)/.test(sqlState(error) ?? '');
}

/** The server is there and not ready yet. */
export function isStarting(error: unknown): boolean {
  return /^(57P03|53300)$/.test(sqlState(error) ?? '');
}

/** What the server or the way to it said, as an error of the catalogue; a fault of this program as it is. */
export function explainPostgresError(error: unknown, moment: Moment, place: Place): unknown {
  if (isUnshipError(error)) return error;
  const state = sqlState(error) ?? '';
  const happened = `the state on ${place.server}: ${messageOf(error)}`;
  const details = { happened, done: done[moment], cause: error };
  if (state === '08P01' && messageOf(error).includes('startup parameter')) return pooler(place, error);
  if (isSessionLost(error)) return new UnshipError('state-unreachable', details);
  if (state === '55P03') {
    return new UnshipError('busy', {
      ...details,
      happened: 'another process is writing the state and does not end: it may be frozen',
      next: `unship status tells who it may be; let it go on or end it, ${goOn}`,
    });
  }
  if (state === '42501') {
    return new UnshipError('state-rights', { ...details, next: `${grants(place).join('; ')}; ${goOn}` });
  }
  const next = nexts.find(([pattern]) => pattern.test(state))?.[1];
  return next === undefined
    ? error
    : new UnshipError('state-failed', { ...details, next: `${next}, ${goOn}` });
}

/** By SQLSTATE: what the operator of the server can do. */
const nexts: readonly (readonly [RegExp, string])[] = [
  [/^53100$/, 'free some space on its disk'],
  [/^53/, 'give the server more of what it lacks'],
  [/^25006$/, 'use the address of the server that is written to: this one is a standby, or read-only'],
  [/^57014$/, 'look at what keeps the server so busy'],
  [/^(40|55)/, 'look at what else works on these tables'],
  [/^(58|XX|57|0A|F0)/, 'look into the log of the server'],
  [/^(3F000|42P01|42703)$/, 'put the schema of the state back from a backup of its database'],
];

/** Statements that give a role what it needs, as an administrator types them. */
export function grants({ schema, role }: Pick<Place, 'schema' | 'role'>): readonly string[] {
  const [inSchema, toRole] = [quoted(schema), quoted(role)];
  return [
    `GRANT USAGE ON SCHEMA ${inSchema} TO ${toRole}`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${inSchema} TO ${toRole}`,
  ];
}

export function pooler({ server }: Place, cause?: unknown): UnshipError {
  return new UnshipError('state-unsuitable', {
    happened: `${server} is a connection pooler that does not pass the settings of a session on`,
    done: 'nothing',
    next: 'use the address of the server itself',
    cause,
  });
}

/** As SQL writes a name. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
