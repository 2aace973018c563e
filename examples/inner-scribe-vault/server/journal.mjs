import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

const columns = 'id, body, mood, created_at AS createdAt';

/**
 * The journal in its SQLite file. The file must exist: an empty one made by mistake would look like a lost
 * journal. Other processes may migrate or restore it meanwhile, so nothing about its schema is kept in memory.
 *
 * @param {string} file
 */
export function openJournal(file) {
  const address = pathToFileURL(file);
  address.searchParams.set('mode', 'rw');
  const database = new DatabaseSync(address, { timeout: 5000 });
  database.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  database.function('fold', { deterministic: true }, fold);

  const statements = new Map();
  /** Prepared at first use, not at the start: a schema that is still on its way must not end the process. */
  const sql = (text) => {
    const statement = statements.get(text) ?? database.prepare(text);
    statements.set(text, statement);
    return statement;
  };

  return {
    /** @returns {{ id: number, body: string, mood: string | null, createdAt: string }} */
    write({ body, mood }) {
      return sql(
        `INSERT INTO entries (body, mood, created_at) VALUES (:body, :mood, :now) RETURNING ${columns}`,
      ).get({ body, mood, now: new Date().toISOString() });
    },

    /** Newest first. `before` is the id of the last one seen; one more than `limit` tells that there are more. */
    list({ mood, before, limit }) {
      return sql(
        `SELECT ${columns} FROM entries
         WHERE (:mood IS NULL OR mood = :mood) AND (:before IS NULL OR id < :before)
         ORDER BY id DESC LIMIT :limit`,
      ).all({ mood, before, limit });
    },

    /** Entries whose text contains `query`, whatever its case and accents. */
    search({ query, mood, before, limit }) {
      return sql(
        `SELECT ${columns} FROM entries
         WHERE instr(fold(body), fold(:query)) > 0
           AND (:mood IS NULL OR mood = :mood) AND (:before IS NULL OR id < :before)
         ORDER BY id DESC LIMIT :limit`,
      ).all({ query, mood, before, limit });
    },

    /** How many entries there are of each mood that occurs: `{calm: 3}`. */
    countMoods() {
      const rows = sql(
        'SELECT mood, count(*) AS entries FROM entries WHERE mood IS NOT NULL GROUP BY mood',
      ).all();
      return Object.fromEntries(rows.map((row) => [row.mood, row.entries]));
    },

    /** Reads what the pages read, so that a schema this code cannot work on is told here. Throws. */
    check() {
      sql(`SELECT ${columns} FROM entries ORDER BY id DESC LIMIT 1`).all();
    },

    /** Version of the last migration: `0002`; null when the file has no ledger. */
    schema() {
      const ledger = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'";
      if (sql(ledger).get() === undefined) return null;
      return sql('SELECT max(version) AS version FROM schema_migrations').get().version;
    },

    close() {
      database.close();
    },
  };
}

/** Text as it is compared: `Über` is found by `uber`. */
function fold(text) {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}
