import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { parse } from 'yaml';

/**
 * Somebody who has never seen the program: asks the live address, reads the schema, fetches what the desktop feed
 * offers and hashes it as an updater does. One question a line on stdin, one answer a line on stdout. Nothing here
 * may come from `src/`.
 */
export interface Question {
  readonly id: number;
  readonly port: number;
  readonly database: string;
  readonly feed: string;
  readonly patienceMs: number;
}

export interface Entry {
  readonly id: number;
  readonly body: string;
}

/** A part is null where nothing can be seen. */
export interface Observation {
  readonly web: { readonly version: string; readonly bodies: readonly string[] } | null;
  readonly schema: {
    readonly columns: readonly string[];
    readonly applied: readonly string[];
    readonly entries: readonly Entry[];
  } | null;
  /** Version whose bytes are there and are what the feed says. */
  readonly offered: string | null;
}

function ask(port: number, patienceMs: number): Promise<Observation['web']> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port, path: '/', agent: false, timeout: patienceMs },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', () => resolve(null));
        response.on('end', () => {
          if (response.statusCode !== 200) return resolve(null);
          resolve(readPage(text));
        });
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}

/** Null for what somebody else answers. */
function readPage(text: string): Observation['web'] {
  try {
    const page = JSON.parse(text) as { version: string; rows: readonly { body: string }[] | null };
    return { version: page.version, bodies: (page.rows ?? []).map(({ body }) => body) };
  } catch {
    return null;
  }
}

function readSchema(file: string): Observation['schema'] {
  if (!existsSync(file)) return null;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
    // One look: what is read in two would be of two moments.
    database.exec('begin');
    const rows = (sql: string): readonly Record<string, unknown>[] => database?.prepare(sql).all() ?? [];
    const strings = (sql: string): string[] => rows(sql).map((row) => String(Object.values(row)[0]));
    return {
      columns: strings("select name from pragma_table_info('entries') order by name"),
      applied: strings('select version from schema_migrations order by version'),
      entries: rows('select id, body from entries order by id').map((row) => ({
        id: Number(row.id),
        body: String(row.body),
      })),
    };
  } catch {
    return null;
  } finally {
    database?.close();
  }
}

function readOffer(folder: string): string | null {
  try {
    const offer = parse(readFileSync(join(folder, 'latest-linux.yml'), 'utf8')) as {
      version: string;
      files: readonly { url: string; sha512: string; size: number }[];
    };
    for (const { url, sha512, size } of offer.files) {
      const bytes = readFileSync(join(folder, url));
      if (bytes.length !== size) return null;
      if (createHash('sha512').update(bytes).digest('base64') !== sha512) return null;
    }
    return offer.files.length === 0 ? null : offer.version;
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, port, database, feed, patienceMs } = JSON.parse(line) as Question;
  const web = await ask(port, patienceMs);
  const answer: Observation & { id: number } = {
    id,
    web,
    schema: readSchema(database),
    offered: readOffer(feed),
  };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
