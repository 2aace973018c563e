import { join } from 'node:path';
import { MigrationTexts } from '../../databases/texts.ts';
import type { MigrationFormat } from '../../domain/migrations/migration-files.ts';
import { isSecretReference } from '../../domain/secret.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import { type Connection, connect, databaseOf, urlOf } from './connection.ts';
import type { PostgresOptions } from './options.ts';

/** One PostgreSQL database and the private folder of everything that is kept about it outside. */
export interface Core {
  /** The live database's address. It holds a password: only for connecting. Throws `secret-missing`. */
  url(): string;
  readonly folder: string;
  readonly texts: MigrationTexts;
  readonly format: MigrationFormat | undefined;
  readonly keepBackups: number;
  /** Longest that anybody may have to queue behind a lock that is asked for, in ms. */
  readonly lockMs: number;
  /** How long a lock is asked for again and again, in ms. */
  readonly patienceMs: number;
  readonly environment: ProviderEnvironment;
  readonly options: PostgresOptions;
}

export interface CoreSettings {
  readonly lockMs?: number;
  readonly patienceMs?: number;
}

const defaultLockMs = 1000;
const defaultPatienceMs = 60_000;

export function createCore(
  options: PostgresOptions,
  environment: ProviderEnvironment,
  settings: CoreSettings = {},
): Core {
  const { folder, source } = environment;
  const { url } = options;
  return {
    url: () => (isSecretReference(url) ? environment.reveal(url).reveal() : url),
    folder,
    texts: new MigrationTexts(
      join(folder, 'migrations'),
      source,
      options.migrations ?? 'migrations',
      options.format,
    ),
    format: options.format,
    keepBackups: options.keepBackups ?? 10,
    lockMs: settings.lockMs ?? defaultLockMs,
    patienceMs: settings.patienceMs ?? defaultPatienceMs,
    environment,
    options,
  };
}

export function nameOf(core: Core): string {
  return databaseOf(core.url());
}

export function maintenanceOf(core: Core): string {
  return core.options.maintenance ?? 'postgres';
}

/** The same surface on another database of the server. */
export function coreOn(core: Core, database: string): Core {
  return { ...core, url: () => urlOf(core.url(), database) };
}

export async function open(core: Core, purpose: string, database?: string): Promise<Connection> {
  const connection = await connect(core.url(), { purpose, ...(database === undefined ? {} : { database }) });
  // Policies that hide rows even from their owner must lead to an error, never to a count or a record of some.
  await connection.run('SET row_security = off');
  return connection;
}

/** Values as texts that are read back as the same values, on every server; the session's own settings after it. */
export const exactTexts = `SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres';
  SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; SET LOCAL timezone = 'UTC';
  SET LOCAL row_security = off`;
export const ownTexts =
  'RESET datestyle; RESET intervalstyle; RESET extra_float_digits; RESET bytea_output; RESET timezone; SET row_security = on';
