import { statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { MigrationTexts } from '../../databases/texts.ts';
import type { MigrationFormat } from '../../domain/migrations/migration-files.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import { Archives } from './archive.ts';
import { describeSchema } from './fingerprint.ts';
import { formatOfLedger, type Ledger, ledgerOf } from './ledger.ts';
import type { SqliteOptions } from './options.ts';
import { readSchema } from './schema.ts';

/** One SQLite database and the private folder of everything that is kept about it. */
export interface Core {
  /** Absolute path of the live file. */
  readonly file: string;
  readonly folder: string;
  readonly texts: MigrationTexts;
  readonly archives: Archives;
  readonly format: MigrationFormat | undefined;
  readonly secondLocation: string | undefined;
  /** Public key of age that the second location is encrypted to. */
  readonly encryptTo: string | undefined;
  readonly keepBackups: number;
  /** How long to wait for another process's lock, in ms. */
  readonly lockMs: number;
  readonly environment: ProviderEnvironment;
  readonly options: SqliteOptions;
}

export interface CoreSettings {
  readonly lockMs?: number;
}

const defaultLockMs = 5000;

export function createCore(
  options: SqliteOptions,
  environment: ProviderEnvironment,
  settings: CoreSettings = {},
): Core {
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(environment.root, path));
  const { folder, runtime, source } = environment;
  return {
    file: absolute(options.file),
    folder,
    texts: new MigrationTexts(
      join(folder, 'migrations'),
      source,
      options.migrations ?? 'migrations',
      options.format,
    ),
    archives: new Archives(join(folder, 'archives')),
    format: options.format,
    secondLocation: options.secondLocation === undefined ? undefined : absolute(options.secondLocation),
    encryptTo: options.encryptTo,
    keepBackups: options.keepBackups ?? 10,
    lockMs: settings.lockMs ?? defaultLockMs,
    environment: { ...environment, runtime },
    options,
  };
}

/** SHA-256 of the schema as `describeSchema` tells it. */
export function fingerprintOf(core: Core, database: DatabaseSync): string {
  return core.environment.runtime.digest(describeSchema(database, readSchema(database)));
}

/** The ledger that is there; before the first migration, the one of the files' format. */
export function ledgerFor(core: Core, database: DatabaseSync, files?: MigrationFormat): Ledger {
  return ledgerOf(formatOfLedger(database) ?? files ?? core.format ?? 'dbmate');
}

/** Size of the live file and its log, in bytes. */
export function liveBytes(core: Core): number {
  const log = statSync(`${core.file}-wal`, { throwIfNoEntry: false });
  return statSync(core.file).size + (log?.size ?? 0);
}
