import { UnshipError } from '../../domain/errors.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { BackupRecord } from './backup-record.ts';
import { contentOf } from './backups.ts';
import { type Connection, identifier, literal } from './connection.ts';
import { type Core, coreOn, maintenanceOf, nameOf, open } from './core.ts';
import { ledgerFor } from './ledger.ts';
import { ownSchema } from './names.ts';
import { programsFor, runProgram } from './programs.ts';
import { serverFacts } from './server.ts';

/** Drops a database of ours with whoever is still connected to it. */
export async function dropSide(core: Core, side: string): Promise<void> {
  await using connection = await open(core, 'clear', maintenanceOf(core));
  await connection.run(`DROP DATABASE IF EXISTS ${identifier(side)} WITH (FORCE)`);
}

/** Databases of ours whose names begin so. */
export async function sidesOf(core: Core, prefix: string): Promise<readonly string[]> {
  await using connection = await open(core, 'look', maintenanceOf(core));
  const rows = await connection.rows<{ name: string }>(
    'SELECT datname::text AS name FROM pg_database WHERE starts_with(datname::text, $1) ORDER BY 1',
    [prefix],
  );
  return rows.map((row) => row.name);
}

interface DatabaseRow {
  readonly encoding: string;
  readonly owner: string;
  readonly row: { readonly [column: string]: string | number | null };
}

/** As the live one is: its encoding, the order of its texts, its owner. */
async function createSide(core: Core, side: string): Promise<void> {
  await using connection = await open(core, 'prepare', maintenanceOf(core));
  const [live] = await connection.rows<DatabaseRow & { [column: string]: unknown }>(
    `SELECT pg_encoding_to_char(encoding) AS encoding, pg_get_userbyid(datdba)::text AS owner, to_jsonb(d) AS row
     FROM pg_database d WHERE datname = $1`,
    [nameOf(core)],
  );
  if (live === undefined)
    throw new UnshipError('database-missing', { happened: `there is no database ${nameOf(core)}` });
  const { row } = live;
  const provider = row.datlocprovider === 'i' ? 'icu' : row.datlocprovider === 'b' ? 'builtin' : null;
  const locale = row.datlocale ?? row.daticulocale;
  const options = [
    'TEMPLATE template0',
    `ENCODING ${literal(live.encoding)}`,
    `LC_COLLATE ${literal(String(row.datcollate))}`,
    `LC_CTYPE ${literal(String(row.datctype))}`,
    ...(provider === null ? [] : [`LOCALE_PROVIDER ${provider}`]),
    ...(provider === 'icu' ? [`ICU_LOCALE ${literal(String(locale))}`] : []),
    ...(provider === 'builtin' ? [`BUILTIN_LOCALE ${literal(String(locale))}`] : []),
    `OWNER ${identifier(live.owner)}`,
  ];
  await connection.run(`CREATE DATABASE ${identifier(side)} ${options.join(' ')}`);
  await copySettings(connection, nameOf(core), side);
}

/** Settings whose value is a list: written as it is, for it is quoted already. */
const lists = /^(search_path|temp_tablespaces|local_preload_libraries|session_preload_libraries)$/;

/** What a dump of one database leaves out: who may connect, and settings of the database. */
async function copySettings(connection: Connection, live: string, side: string): Promise<void> {
  const settings = await connection.rows<{ role: string | null; setting: string }>(
    `SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole)::text END AS role, unnest(s.setconfig) AS setting
     FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = $1`,
    [live],
  );
  const database = identifier(side);
  for (const { role, setting } of settings) {
    const at = setting.indexOf('=');
    const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
    const whose = role === null ? `DATABASE ${database}` : `ROLE ${identifier(role)} IN DATABASE ${database}`;
    const text = lists.test(name) ? value || "''" : literal(value);
    await connection.run(
      `ALTER ${whose} SET ${name
        .split('.')
        .map((part) => identifier(part))
        .join('.')} TO ${text}`,
    );
  }
  const rights = await connection.rows<{ grantee: string | null; right: string; grantable: boolean }>(
    `SELECT CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee)::text END AS grantee, x.privilege_type AS right, x.is_grantable AS grantable
     FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) x WHERE d.datname = $1 AND d.datacl IS NOT NULL`,
    [live],
  );
  if (rights.length > 0) await connection.run(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`);
  for (const { grantee, right, grantable } of rights) {
    const to = grantee === null ? 'PUBLIC' : identifier(grantee);
    await connection.run(
      `GRANT ${right} ON DATABASE ${database} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`,
    );
  }
}

/** A restored row of the ledger was written by another transaction: the archives' marks follow. */
async function followMarks(
  core: Core,
  connection: Connection,
  record: Pick<BackupRecord, 'marks'>,
): Promise<void> {
  const ledger = await ledgerFor(core, connection);
  if (ledger.format !== 'dbmate') return;
  const [there] = await connection.rows<{ is: boolean }>(
    `SELECT to_regclass('${ownSchema}.archive') IS NOT NULL AS is`,
  );
  if (there?.is !== true) return;
  const now = await ledger.marks();
  for (const [version, mark] of Object.entries(record.marks)) {
    await connection.rows(
      `UPDATE ${ownSchema}.archive SET mark = $3 WHERE version = $1 AND direction = 'up' AND mark = $2`,
      [version, mark, now.get(version) ?? null],
    );
  }
}

/** A dump that was taken while writes were being captured has the publication that did it. */
async function dropOwnPublications(connection: Connection): Promise<void> {
  const own = await connection.rows<{ name: string }>(
    `SELECT pubname::text AS name FROM pg_publication WHERE starts_with(pubname::text, '${ownSchema}')`,
  );
  for (const { name } of own) await connection.run(`DROP PUBLICATION ${identifier(name)}`);
}

/**
 * A database beside the live one with the content of a dump, proven to be what was dumped. One that an attempt before
 * has left is dropped first. Never through psql: a dump may carry commands of it.
 */
export async function restoreBeside(
  context: LookContext,
  core: Core,
  side: string,
  folder: string,
  record: Pick<BackupRecord, 'fingerprint' | 'applied' | 'marks' | 'rows'>,
): Promise<void> {
  await dropSide(core, side);
  await createSide(core, side);
  const onSide = coreOn(core, side);
  await using connection = await open(onSide, 'restore');
  const { major } = await serverFacts(connection);
  const programs = await programsFor(core, major);
  const target = `dbname='${side.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  await runProgram(
    programs,
    'pg_restore',
    ['--dbname', target, '--jobs=2', '--no-password', '--no-subscriptions', '--exit-on-error', folder],
    onSide.url(),
    context.signal,
  );
  await connection.run('SET statement_timeout = 0; ANALYZE');
  await dropOwnPublications(connection);
  await followMarks(core, connection, record);
  const found = await contentOf(core, connection);
  const seen = ({ fingerprint, applied, rows }: typeof record): string =>
    JSON.stringify([fingerprint, applied, Object.entries(rows).sort()]);
  if (seen(found) === seen(record)) return;
  throw new UnshipError('backup-invalid', {
    happened: `restored, it does not hold the schema and rows that it was taken with (schema ${found.fingerprint.slice(0, 12)}, was ${record.fingerprint.slice(0, 12)})`,
    done: 'it is not used; the live database is as it was',
  });
}
