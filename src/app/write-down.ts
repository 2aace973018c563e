import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { revealSecret } from '../config/secrets.ts';
import type { SurfaceDefinition } from '../domain/definition.ts';
import { messageOf, UnshipError } from '../domain/errors.ts';
import {
  isMigrationFile,
  type Migration,
  type MigrationFormat,
  parseMigrations,
} from '../domain/migrations/migration-files.ts';
import type { WrittenDown } from '../domain/report.ts';
import { isSecretReference } from '../domain/secret.ts';

export interface WriteDownRequest {
  readonly surfaces: { readonly [surface: string]: SurfaceDefinition };
  /** Folder of the configuration file. */
  readonly root: string;
  readonly processEnvironment: { readonly [name: string]: string | undefined };
  /** Absent: the only database on PostgreSQL. */
  readonly surface?: string;
  /** Absent: the newest that has no way back. */
  readonly version?: string;
  /** Ends it; side databases are gone then as well. */
  readonly signal?: AbortSignal;
}

/** What is read of the options of `postgres`. */
interface Options {
  readonly url?: unknown;
  readonly migrations?: string;
  readonly format?: MigrationFormat;
}

/** Writes the way back of a migration in the checkout, on side databases of the server that the configuration names. */
export async function writeDownOf(request: WriteDownRequest): Promise<WrittenDown> {
  const options = optionsOf(request);
  const migrations = readMigrations(
    resolve(request.root, options.migrations ?? 'migrations'),
    options.format,
  );
  const migration = chosen(migrations, request.version);
  const url = urlOf(options, request);
  const { writeDown } = await import('../providers/postgres/write-down.ts');
  const earlier = migrations.slice(0, migrations.indexOf(migration));
  return await writeDown(url, migration, earlier, request.signal);
}

function optionsOf({ surfaces, surface }: WriteDownRequest): Options {
  const all = Object.entries(surfaces).filter(([, { provider }]) => provider === 'postgres');
  const found = surface === undefined ? all : all.filter(([name]) => name === surface);
  const [only] = found;
  if (only === undefined || found.length > 1) {
    const names = all.map(([name]) => name).join(', ');
    throw new UnshipError('unknown-surface', {
      happened:
        names === ''
          ? 'there is no database on PostgreSQL here: a way back is written for nothing else'
          : surface === undefined
            ? 'there are several databases on PostgreSQL'
            : `there is no database ${surface} on PostgreSQL`,
      done: 'nothing',
      next: names === '' ? 'write the down migration by hand' : `--surface with one of: ${names}`,
    });
  }
  return only[1].options as Options;
}

function urlOf({ url }: Options, { processEnvironment }: WriteDownRequest): string {
  const text = isSecretReference(url) ? revealSecret(url, processEnvironment).reveal() : url;
  if (typeof text === 'string' && /^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return text;
  throw new UnshipError('config-invalid', {
    happened: 'the `url` of the database is no address',
    done: 'nothing',
    next: "write it as postgres://USER:PASSWORD@HOST/DATABASE into a variable, and url: secret('NAME')",
  });
}

function readMigrations(folder: string, format: MigrationFormat | undefined): readonly Migration[] {
  try {
    const names = readdirSync(folder).filter(isMigrationFile);
    const files = names.map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
    return parseMigrations(files, format);
  } catch (error) {
    if (error instanceof UnshipError) throw error;
    throw new UnshipError('migration-invalid', {
      happened: `${folder} can not be read: ${messageOf(error)}`,
      done: 'nothing',
      next: 'check `migrations` in the configuration',
      cause: error,
    });
  }
}

function chosen(migrations: readonly Migration[], version: string | undefined): Migration {
  const found =
    version === undefined
      ? migrations.findLast((one) => one.down === null && !one.declared.has('restore-only'))
      : migrations.find((one) => one.version === version || one.name === version);
  if (found !== undefined) return found;
  throw new UnshipError('usage-invalid', {
    happened:
      version === undefined
        ? 'every migration has a way back'
        : `there is no migration ${version} in the checkout`,
    done: 'nothing',
    next: 'unship migrations',
  });
}
