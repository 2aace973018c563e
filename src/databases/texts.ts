import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UnshipError } from '../domain/errors.ts';
import {
  compareVersions,
  type Declaration,
  isMigrationFile,
  type Migration,
  type MigrationFile,
  type MigrationFormat,
  parseMigrations,
} from '../domain/migrations/migration-files.ts';
import type { Source } from '../surfaces/source.port.ts';
import { ensureFolder, readJson, removeLeft, writeFileDurably } from './files.ts';

type KeptMigration = Omit<Migration, 'declared'> & { readonly declared: readonly Declaration[] };

/**
 * Where the text of migrations comes from: the repository at a commit, and copies of everything that was ever
 * applied, so that a down can run although its commit is gone.
 */
export class MigrationTexts {
  readonly #folder: string;
  readonly #source: Source;
  readonly #path: string;
  readonly #format: MigrationFormat | undefined;
  readonly #byTree = new Map<string, readonly Migration[]>();

  constructor(folder: string, source: Source, path: string, format: MigrationFormat | undefined) {
    this.#folder = folder;
    this.#source = source;
    this.#path = path;
    this.#format = format;
  }

  /** Migrations at a commit, oldest first; empty when the folder isn't there. Throws `migration-invalid`. */
  async at(commit: string): Promise<readonly Migration[]> {
    const tree = await this.#source.objectAt(commit, this.#path);
    if (tree === null) return [];
    const known = this.#byTree.get(tree);
    if (known !== undefined) return known;
    const migrations = parseMigrations(await this.#files(commit, tree), this.#format);
    this.#byTree.set(tree, migrations);
    return migrations;
  }

  /** Files of a tree, read from git once: their content can't change without the tree's hash. */
  async #files(commit: string, tree: string): Promise<readonly MigrationFile[]> {
    const cache = join(this.#folder, `tree-${tree}.json`);
    const cached = readJson(cache);
    if (Array.isArray(cached)) return cached as readonly MigrationFile[];
    const files: MigrationFile[] = [];
    for (const name of await this.#source.list(commit, this.#path)) {
      if (!isMigrationFile(name)) continue;
      const text = await this.#source.read(commit, `${this.#path}/${name}`);
      if (text !== null) files.push({ name, text });
    }
    ensureFolder(this.#folder);
    writeFileDurably(cache, JSON.stringify(files));
    return files;
  }

  /** At a commit that may be gone or unknown; then what is kept. */
  async atOrKept(commit: string): Promise<readonly Migration[]> {
    const there = commit !== '' && (await this.#source.has(commit));
    const migrations = there ? await this.at(commit) : [];
    const known = new Set(migrations.map((migration) => migration.version));
    return [...migrations, ...this.allKept().filter((migration) => !known.has(migration.version))].sort(
      (a, b) => compareVersions(a.version, b.version),
    );
  }

  /** The migration of this version at the commit, or the copy kept when it was applied. */
  async find(commit: string, version: string): Promise<Migration> {
    const found = (await this.atOrKept(commit)).find((migration) => migration.version === version);
    if (found !== undefined) return found;
    throw new UnshipError('migration-invalid', {
      happened: `there is no migration ${version} in ${this.#path} at ${commit === '' ? 'any known commit' : commit}, and no copy of it`,
      done: 'nothing was changed',
    });
  }

  /**
   * What takes an applied migration back: the copy that was kept when it ran. Its file may say something else at
   * the commit by now, and nobody has looked at what that would do.
   */
  async findApplied(commit: string, version: string): Promise<Migration> {
    return this.kept(version) ?? (await this.find(commit, version));
  }

  keep(migration: Migration): void {
    ensureFolder(this.#folder);
    const kept: KeptMigration = { ...migration, declared: [...migration.declared] };
    writeFileDurably(this.#keptFile(migration.version), JSON.stringify(kept));
    removeLeft(this.#folder);
  }

  kept(version: string): Migration | undefined {
    const kept = readJson(this.#keptFile(version)) as KeptMigration | undefined;
    return kept === undefined ? undefined : { ...kept, declared: new Set(kept.declared) };
  }

  /** Oldest first. */
  allKept(): readonly Migration[] {
    if (!existsSync(this.#folder)) return [];
    return readdirSync(this.#folder)
      .flatMap((name) => /^applied-(\d+)\.json$/.exec(name)?.[1] ?? [])
      .sort(compareVersions)
      .flatMap((version) => this.kept(version) ?? []);
  }

  #keptFile(version: string): string {
    return join(this.#folder, `applied-${version.replaceAll(/\D/g, '_')}.json`);
  }
}
