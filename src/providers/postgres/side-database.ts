import { rm, writeFile } from 'node:fs/promises';
import { messageOf } from '../../domain/errors.ts';
import { type Capture, identityStatement, shortName } from './capture.ts';
import { type ClientPrograms, runProgram } from './client-programs.ts';
import { type Connection, connect, databaseOf, identifier, literal } from './connection.ts';
import { lsnText } from './lsn.ts';
import { noTotals, recordTables } from './replay/records.ts';
import { addHelperIndexes, readTarget } from './replay/target.ts';

/** Names that a salvage uses, the same for every attempt at it. */
export interface SalvageNames {
  readonly live: string;
  /** Where the backup is restored to. */
  readonly side: string;
  /** What the bad database is called after the switch. */
  readonly kept: string;
  /** What the restored one is called after an undo. */
  readonly undone: string;
}

const longestName = 63;

export function salvageNames(url: string, key: string): SalvageNames {
  const live = databaseOf(url);
  const named = (what: string): string => {
    const end = `_${what}_${shortName(key)}`;
    let start = live;
    while (Buffer.byteLength(start + end) > longestName) start = start.slice(0, -1);
    return start + end;
  };
  return { live, side: named('unship'), kept: named('before'), undone: named('undone') };
}

export interface SideWish {
  readonly url: string;
  readonly capture: Capture;
  readonly programs: ClientPrograms;
  /** A database that is neither: where others are made, renamed and dropped from. Default `postgres`. */
  readonly maintenanceDatabase?: string;
  readonly jobs?: number;
  readonly faults: { point(name: string): void };
}

export async function maintenance(wish: {
  readonly url: string;
  readonly maintenanceDatabase?: string;
}): Promise<Connection> {
  return await connect(wish.url, {
    purpose: 'databases',
    database: wish.maintenanceDatabase ?? 'postgres',
  });
}

interface DatabaseRow {
  readonly oid: number;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly owner: string;
  readonly hasAcl: boolean;
}

/**
 * The state of the capture, restored beside the live database and ready for what came after it. Returns at once
 * when it is there; what an attempt that was killed has left is removed.
 */
export async function restoreBeside(wish: SideWish): Promise<void> {
  const names = salvageNames(wish.url, wish.capture.key);
  await using admin = await maintenance(wish);
  if (await isRestored(wish, names, admin)) return;
  await admin.run(`DROP DATABASE IF EXISTS ${identifier(names.side)} WITH (FORCE)`);
  const [live] = await admin.rows<DatabaseRow>(
    `SELECT oid, pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
       pg_get_userbyid(datdba) AS owner, datacl IS NOT NULL AS "hasAcl" FROM pg_database WHERE datname = $1`,
    [names.live],
  );
  if (live === undefined) throw new Error(`there is no database ${names.live}`);
  await admin.run(
    `CREATE DATABASE ${identifier(names.side)} TEMPLATE template0 ENCODING ${literal(live.encoding)}
     LC_COLLATE ${literal(live.collate)} LC_CTYPE ${literal(live.ctype)} OWNER ${identifier(live.owner)}`,
  );
  wish.faults.point('postgres.side.created');
  const rights = await restoreInto(wish, names, admin);
  wish.faults.point('postgres.side.restored');
  const settings = await copySettings(admin, live, names);
  await makeReady(wish, names, live.oid, [...rights, ...settings]);
  wish.faults.point('postgres.side.ready');
}

/**
 * Rights on the server's own functions are part of a dump, and only a superuser may give them: for anybody else they
 * are left out. Returns those.
 */
async function restoreInto(
  wish: SideWish,
  names: SalvageNames,
  admin: Connection,
): Promise<readonly string[]> {
  const { programs, capture, jobs = 2 } = wish;
  const at = { url: wish.url, database: names.side };
  const [role] = await admin.rows<{ all: boolean }>(
    'SELECT rolsuper AS all FROM pg_roles WHERE rolname = current_user',
  );
  const list = `${capture.dump}.list`;
  const left: string[] = [];
  const chosen: string[] = [];
  if (role?.all !== true) {
    const lines = (await runProgram(programs, 'pg_restore', ['--list', capture.dump], at)).split('\n');
    const isOthers = (line: string): boolean => /^\d+; \d+ \d+ ACL pg_catalog /.test(line);
    left.push(...lines.filter(isOthers).map((line) => `right: ${line.replace(/^.* ACL pg_catalog /, '')}`));
    await writeFile(list, lines.filter((line) => !isOthers(line)).join('\n'), { mode: 0o600 });
    chosen.push(`--use-list=${list}`);
  }
  const how = [`--dbname=${names.side}`, `--jobs=${jobs}`, '--exit-on-error', '--no-password'];
  const without = ['--no-publications', '--no-subscriptions'];
  try {
    await runProgram(programs, 'pg_restore', [...how, ...without, ...chosen, capture.dump], at);
  } finally {
    await rm(list, { force: true });
  }
  return left;
}

async function isRestored(wish: SideWish, names: SalvageNames, admin: Connection): Promise<boolean> {
  const there = await admin.rows('SELECT 1 FROM pg_database WHERE datname = $1', [names.side]);
  if (there.length === 0) return false;
  await using side = await connect(wish.url, { purpose: 'looking at a restore', database: names.side });
  const [table] = await side.rows<{ there: boolean }>(
    `SELECT to_regclass('unship.salvage') IS NOT NULL AS there`,
  );
  if (table?.there !== true) return false;
  return (await side.rows('SELECT 1 FROM unship.salvage WHERE key = $1', [wish.capture.key])).length > 0;
}

/** The mark that it is whole comes last. */
async function makeReady(
  wish: SideWish,
  names: SalvageNames,
  liveOid: number,
  notCopied: readonly string[],
): Promise<void> {
  const { capture } = wish;
  await using side = await connect(wish.url, { purpose: 'restoring', database: names.side });
  const tables = new Map(capture.catalogue.tables.map((table) => [table.oid, table]));
  for (const { oid, identity, index } of capture.identities) {
    const table = tables.get(oid);
    if (table !== undefined && identity !== 'f') await side.run(identityStatement(table, identity, index));
  }
  await side.run(recordTables);
  await side.run('ANALYZE');
  await addHelperIndexes(side, await readTarget(side, capture.catalogue));
  await side.rows(
    `INSERT INTO unship.salvage (key, live_oid, applied, totals, not_copied) VALUES ($1, $2, $3, $4, $5)`,
    [...[capture.key, liveOid, lsnText(capture.from), JSON.stringify(noTotals())], JSON.stringify(notCopied)],
  );
}

/** Settings whose value is a list of names, and not a text. */
const listSettings = new Set([
  'search_path',
  'temp_tablespaces',
  'session_preload_libraries',
  'local_preload_libraries',
]);

/** What belongs to a database and is not in a dump of its content: rights and settings. */
async function copySettings(
  admin: Connection,
  live: DatabaseRow,
  names: SalvageNames,
): Promise<readonly string[]> {
  const side = identifier(names.side);
  const statements: string[] = [];
  if (live.hasAcl) {
    statements.push(`REVOKE ALL ON DATABASE ${side} FROM PUBLIC`);
    const rights = await admin.rows<{ right: string; to: string | null; passOn: boolean }>(
      `SELECT a.privilege_type AS right, r.rolname AS to, a.is_grantable AS "passOn"
       FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.oid = $1`,
      [live.oid],
    );
    for (const { right, to, passOn } of rights) {
      const whom = to === null ? 'PUBLIC' : identifier(to);
      statements.push(`GRANT ${right} ON DATABASE ${side} TO ${whom}${passOn ? ' WITH GRANT OPTION' : ''}`);
    }
  }
  const settings = await admin.rows<{ role: string | null; setting: string }>(
    `SELECT r.rolname AS role, unnest(s.setconfig) AS setting FROM pg_db_role_setting s
     LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = $1`,
    [live.oid],
  );
  for (const { role, setting } of settings) {
    const name = setting.slice(0, setting.indexOf('='));
    const value = setting.slice(name.length + 1);
    const to = listSettings.has(name) ? value : literal(value);
    const whose =
      role === null ? `ALTER DATABASE ${side}` : `ALTER ROLE ${identifier(role)} IN DATABASE ${side}`;
    // A setting of an extension is called `extension.setting`.
    statements.push(`${whose} SET ${identifier(...name.split('.'))} TO ${to === '' ? "''" : to}`);
  }
  const left: string[] = [];
  for (const statement of statements)
    await admin.run(statement).catch((error: unknown) => left.push(`${statement}: ${messageOf(error)}`));
  return left;
}
