import { UnshipError } from '../errors.ts';
import { tokenize } from './sql-statements.ts';

/** `dbmate`: one file with both directions. `up-down`: NAME.up.sql and NAME.down.sql, as golang-migrate has them. */
export type MigrationFormat = 'dbmate' | 'up-down';

/** What an author may declare in a comment `-- unship: …`, over what the text itself tells. */
export type Declaration =
  | 'old-code-runs'
  | 'old-code-breaks'
  | 'new-code-runs'
  | 'new-code-breaks'
  | 'restore-only'
  | 'rows-unchanged';

const declarations: ReadonlySet<string> = new Set<Declaration>([
  'old-code-runs',
  'old-code-breaks',
  'new-code-runs',
  'new-code-breaks',
  'restore-only',
  'rows-unchanged',
]);

export interface MigrationFile {
  /** Name of the file, without folder. */
  readonly name: string;
  readonly text: string;
}

export interface Migration {
  /** The digits its file name begins with, as written. */
  readonly version: string;
  /** File name without its ending: `0018_moods`. */
  readonly name: string;
  readonly format: MigrationFormat;
  readonly up: string;
  /** Null when there is none, or one without a statement. */
  readonly down: string | null;
  /** The author asked for no transaction around it (dbmate's `transaction:false`). */
  readonly outsideTransaction: { readonly up: boolean; readonly down: boolean };
  readonly declared: ReadonlySet<Declaration>;
  /** Everything its files say: what a checksum is made of. */
  readonly source: string;
}

/** The file that holds one direction of a migration: errors name it, with the line in it. */
export function fileOf(migration: Pick<Migration, 'name' | 'format'>, direction: 'up' | 'down'): string {
  return migration.format === 'dbmate' ? `${migration.name}.sql` : `${migration.name}.${direction}.sql`;
}

function invalid(file: string, happened: string, next?: string): never {
  throw new UnshipError('migration-invalid', {
    happened: `${file}: ${happened}`,
    done: 'nothing was changed',
    ...(next === undefined ? {} : { next }),
  });
}

function hasStatements(sql: string): boolean {
  return tokenize(sql).length > 0;
}

function readDeclarations(file: string, text: string): ReadonlySet<Declaration> {
  const found = new Set<Declaration>();
  for (const match of text.matchAll(/^[ \t]*--[ \t]*unship:.*$/gm)) {
    for (const word of match[0]
      .slice(match[0].indexOf(':') + 1)
      .trim()
      .split(/[\s,]+/)) {
      if (word === '') continue;
      if (!declarations.has(word)) {
        invalid(file, `\`-- unship: ${word}\` is not known`, `use one of: ${[...declarations].join(', ')}`);
      }
      found.add(word as Declaration);
    }
  }
  return found;
}

const marker = /^--[ \t]*migrate:(up|down)([ \t]+[^\n]*)?\r?$/gm;

/** dbmate's own rules: one `-- migrate:up`, at most one `-- migrate:down` behind it, nothing outside. */
function parseDbmate({ name, text }: MigrationFile): Migration {
  const marks = [...text.matchAll(marker)];
  const ups = marks.filter((mark) => mark[1] === 'up');
  const downs = marks.filter((mark) => mark[1] === 'down');
  const [up] = ups;
  const [down] = downs;
  if (up === undefined) invalid(name, 'it has no line `-- migrate:up`');
  if (ups.length > 1 || downs.length > 1) invalid(name, 'it has more than one block of a direction');
  if (down !== undefined && down.index < up.index)
    invalid(name, '`-- migrate:down` stands before `-- migrate:up`');
  if (hasStatements(text.slice(0, up.index))) invalid(name, 'a statement stands before `-- migrate:up`');
  const outside = (mark: RegExpMatchArray | undefined): boolean =>
    /\btransaction:false\b/.test(mark?.[2] ?? '');
  // Line numbers of a block are those of its file.
  const block = (mark: RegExpMatchArray | undefined, end?: number): string =>
    mark?.index === undefined
      ? ''
      : text.slice(0, mark.index).replaceAll(/[^\n]/g, '') + text.slice(mark.index + mark[0].length, end);
  const downText = block(down);
  return {
    version: versionOf(name) ?? invalid(name, 'its name does not begin with a version'),
    name: name.replace(/\.sql$/, ''),
    format: 'dbmate',
    up: block(up, down?.index),
    down: hasStatements(downText) ? downText : null,
    outsideTransaction: { up: outside(up), down: outside(down) },
    declared: readDeclarations(name, text),
    source: text,
  };
}

function versionOf(name: string): string | undefined {
  return /^(\d{1,40})(?!\d)/.exec(name)?.[1];
}

function parseUpDown(
  stem: string,
  up: MigrationFile | undefined,
  down: MigrationFile | undefined,
): Migration {
  const text = up?.text ?? invalid(`${stem}.down.sql`, `its ${stem}.up.sql is missing`);
  const source = down === undefined ? text : `${text}\n${down.text}`;
  return {
    version: versionOf(stem) ?? invalid(`${stem}.up.sql`, 'its name does not begin with a version'),
    name: stem,
    format: 'up-down',
    up: text,
    down: down !== undefined && hasStatements(down.text) ? down.text : null,
    outsideTransaction: { up: false, down: false },
    declared: readDeclarations(stem, source),
    source,
  };
}

const upDownName = /^(.+)\.(up|down)\.sql$/;

/** Files that count as migrations, of whatever format: their names begin with a digit and end in `.sql`. */
export function isMigrationFile(name: string): boolean {
  return /^\d.*\.sql$/.test(name);
}

/** Told by the files: `*.up.sql` is up-down, everything else dbmate. */
export function detectFormat(files: readonly MigrationFile[]): MigrationFormat {
  return files.some((file) => upDownName.test(file.name)) ? 'up-down' : 'dbmate';
}

/** Order of versions: numbers by value, so that 9 comes before 10; what is no number, by its text. */
export function compareVersions(a: string, b: string): number {
  if (/^\d+$/.test(a) && /^\d+$/.test(b) && BigInt(a) !== BigInt(b)) return BigInt(a) < BigInt(b) ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Migrations of one folder, oldest first. Throws `migration-invalid` when a file breaks its format's rules or
 * two have the same version; files that are no migrations are left out.
 */
export function parseMigrations(
  files: readonly MigrationFile[],
  format?: MigrationFormat,
): readonly Migration[] {
  const relevant = files.filter((file) => isMigrationFile(file.name));
  for (const { name, text } of relevant) {
    if (text.includes('\0')) invalid(name, 'it contains a NUL character, and nothing behind it would be run');
  }
  const migrations: Migration[] = [];
  if ((format ?? detectFormat(relevant)) === 'dbmate') {
    migrations.push(...relevant.map(parseDbmate));
  } else {
    const pairs = new Map<string, { up?: MigrationFile; down?: MigrationFile }>();
    for (const file of relevant) {
      const [, stem, direction] = upDownName.exec(file.name) ?? [];
      if (stem === undefined) continue;
      const pair = pairs.get(stem) ?? {};
      pairs.set(stem, pair);
      pair[direction as 'up' | 'down'] = file;
    }
    for (const [stem, pair] of pairs) migrations.push(parseUpDown(stem, pair.up, pair.down));
  }
  migrations.sort((a, b) => compareVersions(a.version, b.version));
  for (const [index, migration] of migrations.entries()) {
    const before = migrations[index - 1];
    if (before !== undefined && BigInt(before.version) === BigInt(migration.version)) {
      invalid(migration.name, `it has the same version as ${before.name}`);
    }
  }
  return migrations;
}
