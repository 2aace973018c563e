import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { dependsOn, type Finding, listFolder, readPackage, sourcesBelow } from './evidence.ts';

const migrationFolders = ['migrations', 'db/migrations', 'database/migrations', 'sql/migrations'];
const databaseFolders = ['.', 'data', 'db', 'database', 'var', 'storage'];
const databaseFile = /\.(db|sqlite|sqlite3|db3)$/i;

const postgresDatabase = 'PostgreSQL database';

type Format = 'dbmate' | 'up-down';

interface Migrations {
  readonly folder: string;
  readonly format: Format;
}

/** SQLite files, PostgreSQL by its driver, and migration folders; other databases are named, because a person should know they were seen. */
export function detectDatabases(root: string, packages: readonly string[]): readonly Finding[] {
  const migrations = findMigrations(root, packages);
  const files = findFiles(root);
  const variable = findVariable(root) ?? findReadVariable(root);
  const server = files.length > 0 ? undefined : findServer(root, packages, migrations, variable);
  const unsupported = packages
    .flatMap((folder) => otherDatabases(root, folder))
    .filter((one) => server === undefined || one.kind !== 'unsupported' || one.what !== postgresDatabase);
  const supported = files.map((file, index): Finding => {
    // Migrations belong to one database; with several files it is the first, and a person moves them.
    const own = index === 0 ? migrations : undefined;
    const told = own === undefined ? '' : `${own.folder}/ (${own.format}), `;
    return {
      kind: 'database',
      surface: surfaceName(file),
      evidence: `${told}${file}`,
      provider: 'sqlite',
      file,
      migrations: own?.folder ?? null,
      format: own?.format ?? null,
      variable: index === 0 ? variable : null,
    };
  });
  if (files.length === 0 && server === undefined && migrations !== undefined && unsupported.length === 0) {
    const what = `${migrations.format} migrations`;
    return [{ kind: 'unsupported', evidence: `${migrations.folder}/`, what, missing: 'no SQLite file yet' }];
  }
  return [...supported, ...(server === undefined ? [] : [server]), ...unsupported];
}

/** A driver, migrations that can be run, and the variable that says where: less is not enough to go by. */
function findServer(
  root: string,
  packages: readonly string[],
  migrations: Migrations | undefined,
  variable: string | null,
): Finding | undefined {
  if (migrations === undefined || variable === null || !/UR[LI]|DSN/.test(variable)) return undefined;
  const folder = packages.find((one) => {
    const json = readPackage(join(root, one));
    return dependsOn(json, 'pg') || dependsOn(json, 'postgres');
  });
  if (folder === undefined) return undefined;
  const evidence = `${migrations.folder}/ (${migrations.format}), ${variable}`;
  return {
    ...{ kind: 'database', surface: 'database', provider: 'postgres', evidence, variable },
    ...{ migrations: migrations.folder, format: migrations.format },
  };
}

function surfaceName(file: string): string {
  return basename(file, extname(file)).toLowerCase();
}

function findFiles(root: string): readonly string[] {
  return databaseFolders.flatMap((folder) =>
    listFolder(join(root, folder))
      .filter((name) => databaseFile.test(name))
      .map((name) => (folder === '.' ? name : `${folder}/${name}`))
      .filter((path) => isSqlite(join(root, path))),
  );
}

/** By its first bytes; a file that is still empty is one that SQLite will fill. */
function isSqlite(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isFile()) return false;
  if (stats.size === 0) return true;
  const head = Buffer.alloc(16);
  const handle = openSync(path, 'r');
  try {
    readSync(handle, head, 0, 16, 0);
  } finally {
    closeSync(handle);
  }
  return head.toString('latin1') === 'SQLite format 3\0';
}

function findMigrations(root: string, packages: readonly string[]): Migrations | undefined {
  for (const base of packages) {
    for (const name of migrationFolders) {
      const folder = base === '.' ? name : `${base}/${name}`;
      const format = formatOf(join(root, folder));
      if (format !== undefined) return { folder, format };
    }
  }
  return undefined;
}

function formatOf(folder: string): Format | undefined {
  const files = listFolder(folder).filter((name) => name.endsWith('.sql'));
  if (files.some((name) => name.endsWith('.up.sql'))) return 'up-down';
  const marked = files.some((name) => /^--\s*migrate:up\b/m.test(readFileSync(join(folder, name), 'utf8')));
  return marked ? 'dbmate' : undefined;
}

const otherTools: readonly (readonly [path: string, what: string])[] = [
  ['prisma/schema.prisma', 'Prisma migrations'],
  ['drizzle.config.ts', 'Drizzle migrations'],
  ['knexfile.js', 'Knex migrations'],
  ['knexfile.ts', 'Knex migrations'],
];
const otherDrivers: readonly (readonly [name: string, what: string])[] = [
  ['pg', postgresDatabase],
  ['postgres', postgresDatabase],
  ['mysql2', 'MySQL database'],
  ['mongodb', 'MongoDB database'],
];

function otherDatabases(root: string, folder: string): readonly Finding[] {
  const at = (name: string): string => (folder === '.' ? name : `${folder}/${name}`);
  const tools = otherTools
    .filter(([path]) => existsSync(join(root, folder, path)))
    .map(([path, what]): Finding => ({ kind: 'unsupported', evidence: at(path), what }));
  const json = readPackage(join(root, folder));
  const drivers = otherDrivers
    .filter(([name]) => dependsOn(json, name))
    .map(
      ([name, what]): Finding => ({ kind: 'unsupported', evidence: `${at('package.json')}: ${name}`, what }),
    );
  return [...tools, ...drivers];
}

/** From the example of the environment that projects keep in git. Only names are read, never values. */
function findVariable(root: string): string | null {
  for (const file of ['.env.example', '.env.sample', '.env.template']) {
    if (!existsSync(join(root, file))) continue;
    const lines = readFileSync(join(root, file), 'utf8').split(/\r?\n/);
    const names = lines.map((line) => /^(?:export )?([A-Z][A-Z0-9_]{0,99})=/.exec(line)?.[1] ?? '');
    const name = names.find((item) => /DB|DATABASE|SQLITE/.test(item));
    if (name !== undefined) return name;
  }
  return null;
}

const readVariable = /\bprocess\.env(?:\.|\[['"])([A-Z][A-Z0-9_]{0,99})\b/g;

/** The one variable about a database that the source reads; with several, a person has to say which. */
function findReadVariable(root: string): string | null {
  const names = new Set<string>();
  for (const text of sourcesBelow(root)) {
    for (const [, name = ''] of text.matchAll(readVariable)) {
      if (/(?:^|_)(?:DB|DATABASE|SQLITE)(?:_|$)/.test(name)) names.add(name);
    }
  }
  const [only, ...others] = names;
  return only === undefined || others.length > 0 ? null : only;
}
