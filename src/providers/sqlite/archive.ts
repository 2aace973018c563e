import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { ensureFolder, publishFile, removeDatabase, writeFileDurably } from '../../databases/files.ts';
import { isSafeName } from '../../domain/names.ts';
import type { ReleaseId } from '../../domain/release.ts';
import { createDatabase, openDatabase } from './connection.ts';
import type { TableChange } from './correspondence.ts';

export type Direction = 'up' | 'down';

/** How rows of one table are recognised on both sides of a migration. */
export interface ArchivedKey {
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly rowid: boolean;
}

/**
 * One table in an archive. Its rows, when any are kept, are in the table `rows_N`:
 * `k0…` the key; `d` what happened (0 only shape, 1 changed, 2 deleted, 3 inserted, 4 kept, can't be matched);
 * `m` one digit for each mapped column, 1 where its value changed; `b0…` values before, mapped columns then
 * dropped ones; `a0…` values after of the mapped columns that changed; `x0…` values of added columns.
 */
export interface ArchivedTable extends TableChange {
  readonly rows: number | null;
  readonly key: ArchivedKey | null;
  /** AUTOINCREMENT's counter before; null when the table has none. */
  readonly sequence: number | null;
  /** Why its values can't be given back by themselves; null when they can. */
  readonly unmatched: string | null;
}

/** What one application of one migration, in one direction, overwrote. */
export interface ArchiveRecord {
  readonly schema: 'unship.archive/1';
  readonly release: ReleaseId;
  readonly version: string;
  readonly name: string;
  readonly direction: Direction;
  /** SHA-256 of the text that ran upwards: a changed migration is another one. */
  readonly checksum: string;
  /** `mark` of the ledger row this application wrote (up); null when the ledger has no marks. */
  readonly mark: string | null;
  readonly epoch: string | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly tables: readonly ArchivedTable[];
  readonly givenBack: number;
  readonly keptEdits: number;
  /** Recorded rows and values of the opposite direction that found no place; missing in older records. */
  readonly withheld?: number;
  /** File name of the record that holds those; null when it was replayed from a backup. */
  readonly recordedIn?: string | null;
  /** Rows that held a value in what was dropped. */
  readonly archived: number;
  /** Replayed on a copy of a backup, because the migration was applied by another tool. */
  readonly replayed: boolean;
}

export interface Archive {
  readonly file: string;
  readonly record: ArchiveRecord;
}

export class ArchiveWriter {
  readonly database: DatabaseSync;
  readonly file: string;
  readonly #partial: string;

  constructor(file: string, encoding: string) {
    this.file = file;
    this.#partial = `${file}.partial`;
    removeDatabase(this.#partial);
    this.database = createDatabase(this.#partial);
    // Durable when it is published; before, a crash leaves only a file that nobody looks at.
    this.database.exec(
      `PRAGMA encoding = '${encoding}'; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF`,
    );
    this.database.exec('BEGIN; CREATE TABLE archive (record TEXT NOT NULL)');
  }

  /** The archive is complete, durable and found under its name when this returns. */
  publish(record: ArchiveRecord): void {
    this.database.prepare('INSERT INTO archive VALUES (?)').run(JSON.stringify(record));
    this.database.exec('COMMIT');
    this.database.close();
    publishFile(this.#partial, this.file);
  }

  discard(): void {
    if (this.database.isOpen) this.database.close();
    removeDatabase(this.#partial);
  }
}

export function readArchive(file: string): Archive | null {
  if (!existsSync(file)) return null;
  try {
    using database = openDatabase(file, 'read', { immutable: true });
    const row = database.prepare('SELECT record FROM archive').get();
    const record = JSON.parse(String(row?.record)) as ArchiveRecord;
    return record.schema === 'unship.archive/1' ? { file, record } : null;
  } catch {
    // Half written by a process that was killed, or not ours: as good as not there.
    return null;
  }
}

/** What an archive is of. `attempt` tells two applications of one migration apart, and is the same for a repeated one. */
export interface ArchiveSubject {
  readonly release: ReleaseId;
  readonly version: string;
  readonly direction: Direction;
  readonly attempt: string;
}

const opposite = { up: 'down', down: 'up' } as const;
const returnedEnding = '.returned';

/**
 * The archives of one database: `<release>-<version>.<attempt>.<direction>.db` in one folder, without the attempt
 * in older ones. Incidents name these files, so none is ever renamed, removed or replaced by another application's:
 * a down's archive whose content is back has an empty file `….returned` beside it.
 */
export class Archives {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  create(subject: ArchiveSubject, encoding: string): ArchiveWriter {
    ensureFolder(this.folder);
    return new ArchiveWriter(this.#freePath(subject), encoding);
  }

  /** Removes what a killed process had begun: an archive that is not whole was never relied on. */
  discardUnfinished(): void {
    if (!existsSync(this.folder)) return;
    for (const name of readdirSync(this.folder)) {
      if (name.endsWith('.db.partial')) removeDatabase(join(this.folder, name));
    }
  }

  /** Where the archive of this subject lies, the `count`-th of its attempt. Throws for what is no name. */
  path({ release, version, direction, attempt }: ArchiveSubject, count = 1): string {
    const name = `${release}-${version}.${attempt}${count === 1 ? '' : `-${count}`}.${direction}.db`;
    if (!isSafeName(name)) throw new TypeError(`not a name: ${name}`);
    return join(this.folder, name);
  }

  /** A name that nothing has, or that of an attempt which was killed before it took effect and is repeated now. */
  #freePath(subject: ArchiveSubject): string {
    for (let count = 1; ; count += 1) {
      const file = this.path(subject, count);
      if (!existsSync(file)) return file;
      const archive = readArchive(file);
      if (archive !== null && !this.#tookEffect(archive)) return file;
    }
  }

  /** What comes after it in the other direction shows that it was committed, and may hold what is nowhere else. */
  #tookEffect({ file, record }: Archive): boolean {
    if (existsSync(`${file}${returnedEnding}`)) return true;
    return this.#all(record.version, opposite[record.direction]).some(
      ({ record: { at } }) => at >= record.at,
    );
  }

  #all(version: string, direction: Direction): readonly Archive[] {
    if (!existsSync(this.folder)) return [];
    const ending = new RegExp(`-${version}(\\.[0-9a-f]+(-\\d+)?)?\\.${direction}\\.db$`);
    return readdirSync(this.folder)
      .filter((name) => ending.test(name))
      .map((name) => readArchive(join(this.folder, name)))
      .filter((archive) => archive !== null)
      .sort((a, b) => b.record.at - a.record.at);
  }

  /** Every complete archive of a version that is not given back, newest first. */
  of(version: string, direction: Direction): readonly Archive[] {
    return this.#all(version, direction).filter(({ file }) => !existsSync(`${file}${returnedEnding}`));
  }

  /** What the application of `version` that is live now overwrote; undefined when another tool applied it. */
  ofLive(version: string, mark: string | null): Archive | undefined {
    return mark === null ? undefined : this.of(version, 'up').find((archive) => archive.record.mark === mark);
  }

  /** What a down had dropped is back, or another down's business: it is kept for people, and not used again. */
  retire(version: string): void {
    for (const { file } of this.of(version, 'down')) writeFileDurably(`${file}${returnedEnding}`, '');
  }
}
