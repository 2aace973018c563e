import type { OpenRequest } from '../domain/application.ts';
import type { EnvironmentDefinition } from '../domain/definition.ts';
import { isUnshipError, UnshipError } from '../domain/errors.ts';
import type { DoctorReport } from '../domain/report.ts';
import type { Runtime } from '../domain/runtime.ts';
import { isSecretReference } from '../domain/secret.ts';
import { inspectPostgres, isSameAddress, isSameDatabase } from '../store/inspect-postgres.ts';
import type { Keeping } from '../store/keeping.ts';
import { openPostgresStore } from '../store/open-postgres.ts';
import { openSqliteStore } from '../store/open-sqlite.ts';
import type { Store } from '../store/store.port.ts';
import type { Parts } from './parts.ts';
import { hasStateFile, stateFile, stateUrl } from './state.ts';

/** Opens the state in PostgreSQL. Throws what `openPostgresStore` does, and `state-unsuitable`. */
export async function openSharedState(
  request: OpenRequest,
  definition: EnvironmentDefinition,
  runtime: Runtime,
  keeping: Keeping,
): Promise<Store> {
  const { state } = definition;
  if (state === undefined) throw new TypeError('no shared state is configured');
  const url = stateUrl(state, request);
  const rolledBack = databaseUrls(request, definition);
  for (const [surface, other] of rolledBack) if (isSameAddress(url, other)) throw notApart(surface);
  const wish = {
    url,
    application: request.definition.name,
    environment: request.environment,
    // A state that was lost has left its fences behind; see `firstFence`.
    firstFence: Math.floor(runtime.clock.now() / 1000),
    beforeMaking: async () => {
      for (const [surface, other] of rolledBack)
        if (await isSameDatabase(url, other)) throw notApart(surface);
    },
    formerFile: await formerFile(request, runtime),
  };
  return await openPostgresStore(wish, runtime, keeping);
}

/** Addresses of the databases that are rolled back, as far as their secrets are set here. */
function databaseUrls(
  { processEnvironment }: OpenRequest,
  { surfaces }: EnvironmentDefinition,
): readonly (readonly [surface: string, url: string])[] {
  return Object.entries(surfaces).flatMap(([surface, { kind, options }]) => {
    if (kind !== 'database') return [];
    const { url } = options as { readonly url?: unknown };
    const text = isSecretReference(url) ? processEnvironment[url.$secret] : url;
    return typeof text === 'string' ? [[surface, text] as const] : [];
  });
}

function notApart(surface: string): UnshipError {
  return new UnshipError('state-unsuitable', {
    happened: `the state is to be kept in the database of ${surface}, which is what is rolled back`,
    done: 'nothing',
    next: 'give the state a database of its own (CREATE DATABASE unship), on the same server or another, and its address',
  });
}

/**
 * The file that held the history before it was shared; brought forward, so that its tables are those of this program. An
 * empty history in its place would look as if nothing had ever been released.
 */
async function formerFile(request: OpenRequest, runtime: Runtime): Promise<string | undefined> {
  if (!hasStateFile(request)) return undefined;
  await openSqliteStore(stateFile(request), runtime).close();
  return stateFile(request);
}

/** Can one rely on the shared state; no rows where there is none. */
export async function stateRows(parts: Parts): Promise<DoctorReport['rows']> {
  const { request, definition, runtime } = parts;
  const { state } = definition;
  if (state === undefined) return [];
  const url = stateUrl(state, request);
  const place = { url, application: request.definition.name, environment: request.environment };
  const rows: DoctorReport['rows'][number][] = [];
  const fail = (text: string, fix: string): void =>
    void rows.push({ level: 'FAIL', subject: 'state', text, fix });
  try {
    const seen = await inspectPostgres(place, runtime.digest);
    const where = `${seen.place.server}, schema ${seen.place.schema}`;
    if (seen.missing.length > 0)
      fail(`${seen.place.role} may not write in ${where}`, seen.missing.join('; '));
    if (!seen.isSynced) {
      fail('fsync is off on its server: commits that were answered are lost with the machine', 'fsync = on');
    }
    for (const [surface, other] of databaseUrls(request, definition)) {
      if (await isSameDatabase(url, other)) fail(...apartRow(surface));
    }
    if (rows.length === 0)
      rows.push({ level: 'ok', subject: 'state', text: `PostgreSQL ${seen.version} on ${where}` });
    if (seen.owner !== null) {
      const text = `only ${seen.owner} may change its tables, which a newer unship may have to`;
      rows.push({
        level: 'warn',
        subject: 'state',
        text,
        fix: `GRANT ${seen.owner} TO "${seen.place.role}"`,
      });
    }
  } catch (error) {
    if (!isUnshipError(error)) throw error;
    fail(error.details.happened, error.details.next ?? 'see whether its server runs');
  }
  if (hasStateFile(request)) {
    const text = `${stateFile(request)} is there too; its history was taken along when the shared one had none`;
    rows.push({ level: 'warn', subject: 'state', text, fix: 'move it away' });
  }
  return rows;
}

function apartRow(surface: string): readonly [text: string, fix: string] {
  const { happened, next } = notApart(surface).details;
  return [happened, next ?? ''];
}
