import type { DatabaseProblem } from '../../surfaces/database/database.port.ts';
import { type Connection, identifier } from './connection.ts';
import { type Core, maintenanceOf, nameOf, open } from './core.ts';
import { foundPrograms, type Programs } from './programs.ts';

/** What is seen of server, role and machine; everything that follows from it is in `adviceFrom`. */
export interface DoctorFacts {
  readonly database: string;
  readonly role: string;
  /** `server_version_num`. */
  readonly serverVersion: number;
  readonly walLevel: string;
  readonly isSuperuser: boolean;
  readonly canCreateDatabases: boolean;
  readonly canReplicate: boolean;
  /** Member of the role that owns the live database. */
  readonly ownsDatabase: boolean;
  readonly canCreateSchemas: boolean;
  readonly canUseTemporary: boolean;
  readonly canSignal: boolean;
  /** Tables and sequences that it may not read, or is no owner of. */
  readonly unreadable: readonly string[];
  readonly unowned: readonly string[];
  readonly maintenance: string;
  readonly programs: readonly Pick<Programs, 'major' | 'version' | 'folder'>[];
}

export interface Missing {
  readonly what: string;
  /** Statement or command that mends it. */
  readonly mend: string;
}

export type Strategy = 'keep-schema' | 'migrate-down' | 'restore';

export interface Advice {
  readonly missing: readonly Missing[];
  readonly warnings: readonly Missing[];
  /** What can be done as it is. */
  readonly strategies: readonly Strategy[];
}

const oldestServer = 140_000;

/** Client programs below these put commands of a dump's author into what psql would read (CVE-2025-8714, -8715, 2026-18408). */
const mendedMinor: { readonly [major: number]: number } = { 14: 24, 15: 19, 16: 15, 17: 11, 18: 6 };

/** What is missing for which way back, with the exact statement that grants it. Pure. */
export function adviceFrom(facts: DoctorFacts): Advice {
  const role = identifier(facts.role);
  const database = identifier(facts.database);
  const serverMajor = Math.floor(facts.serverVersion / 10_000);
  const fitting = facts.programs.find(({ major }) => major >= serverMajor);
  const forAll: Missing[] = [];
  const forBackup: Missing[] = [];
  const forRestore: Missing[] = [];
  const warnings: Missing[] = [];
  const need = (isThere: boolean, list: Missing[], what: string, mend: string): void => {
    if (!isThere) list.push({ what, mend });
  };
  need(
    facts.serverVersion >= oldestServer,
    forAll,
    `the server is PostgreSQL ${serverMajor}, 14 is the oldest`,
    'upgrade the server',
  );
  need(
    facts.canCreateSchemas,
    forAll,
    `${facts.role} may not create the schema unship`,
    `GRANT CREATE ON DATABASE ${database} TO ${role};`,
  );
  need(
    facts.canUseTemporary,
    forAll,
    `${facts.role} may not create temporary tables`,
    `GRANT TEMPORARY ON DATABASE ${database} TO ${role};`,
  );
  for (const table of facts.unowned)
    forAll.push({
      what: `${facts.role} is no owner of ${table}, so it can't migrate it`,
      mend: `ALTER TABLE ${table} OWNER TO ${role};`,
    });
  const install = `apt-get install postgresql-client-${serverMajor}`;
  const newest = facts.programs.at(-1);
  need(
    fitting !== undefined,
    forBackup,
    newest === undefined
      ? 'pg_dump and pg_restore are not here'
      : `pg_dump is ${newest.version}, older than the server's ${serverMajor}`,
    install,
  );
  for (const table of facts.unreadable)
    forBackup.push({
      what: `${facts.role} may not read ${table}, so no backup is whole`,
      mend: `GRANT SELECT ON ${table} TO ${role};`,
    });
  need(
    facts.canCreateDatabases,
    forRestore,
    `${facts.role} may not create databases`,
    `ALTER ROLE ${role} CREATEDB;`,
  );
  need(
    facts.ownsDatabase,
    forRestore,
    `${facts.role} does not own the database`,
    `ALTER DATABASE ${database} OWNER TO ${role};`,
  );
  need(
    facts.canSignal,
    forRestore,
    `${facts.role} may not end the sessions of other roles`,
    `GRANT pg_signal_backend TO ${role};`,
  );
  need(
    facts.maintenance !== facts.database,
    forRestore,
    'the database for maintenance is the live one, which is renamed',
    "postgres({ …, maintenance: 'postgres' })",
  );
  if (facts.isSuperuser)
    warnings.push({
      what: `${facts.role} is a superuser: what a migration may do, nobody limits`,
      mend: 'use the role that owns the database',
    });
  const minor = Number(fitting?.version.split('.')[1] ?? 0);
  if (fitting !== undefined && minor < (mendedMinor[fitting.major] ?? 0))
    warnings.push({
      what: `pg_dump ${fitting.version} may write commands of psql into a dump (mended in ${fitting.major}.${mendedMinor[fitting.major]}); restores here never go through psql`,
      mend: install,
    });
  const restores = [...forAll, ...forBackup, ...forRestore].length === 0;
  return {
    missing: [...forAll, ...forBackup, ...forRestore],
    warnings,
    strategies: [
      'keep-schema',
      ...(forAll.length === 0 ? (['migrate-down'] as const) : []),
      ...(restores ? (['restore'] as const) : []),
    ],
  };
}

const rights = `SELECT current_user::text AS role, current_setting('server_version_num')::int AS "serverVersion",
  current_setting('wal_level') AS "walLevel", r.rolsuper AS "isSuperuser", r.rolsuper OR r.rolcreatedb AS "canCreateDatabases",
  r.rolsuper OR r.rolreplication AS "canReplicate",
  pg_has_role(current_user, d.datdba, 'usage') AS "ownsDatabase",
  has_database_privilege(current_database(), 'create') AS "canCreateSchemas",
  has_database_privilege(current_database(), 'temporary') AS "canUseTemporary",
  r.rolsuper OR pg_has_role(current_user, 'pg_signal_backend', 'usage') AS "canSignal",
  ARRAY(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
      AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'select') ELSE has_table_privilege(c.oid, 'select') END
    ORDER BY 1 LIMIT 20) AS unreadable,
  ARRAY(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
      AND NOT pg_has_role(current_user, c.relowner, 'usage')
      AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
    ORDER BY 1 LIMIT 20) AS unowned
FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`;

export async function doctorFacts(core: Core, connection: Connection): Promise<DoctorFacts> {
  const [row] = await connection.rows<
    Omit<DoctorFacts, 'database' | 'maintenance' | 'programs'> & { [column: string]: unknown }
  >(rights);
  if (row === undefined) throw new TypeError('the server does not know its own role');
  return {
    ...row,
    database: nameOf(core),
    maintenance: maintenanceOf(core),
    programs: await foundPrograms(core),
  };
}

export interface Diagnosis {
  readonly noBackup: { readonly reason: string; readonly next: string } | null;
  readonly canRestore: boolean;
}

/** What a plan has to know of it. */
export async function diagnose(core: Core, connection: Connection): Promise<Diagnosis> {
  const advice = adviceFrom(await doctorFacts(core, connection));
  const [first] = advice.missing.filter(({ what }) => /pg_dump|may not read/.test(what));
  return {
    noBackup: first === undefined ? null : { reason: first.what, next: first.mend },
    canRestore: advice.strategies.includes('restore'),
  };
}

/** See DatabasePort.problems. */
export async function problems(core: Core): Promise<readonly DatabaseProblem[]> {
  await using connection = await open(core, 'look');
  const { missing, warnings } = adviceFrom(await doctorFacts(core, connection));
  const as =
    (level: DatabaseProblem['level']) =>
    ({ what, mend }: Missing): DatabaseProblem => ({ level, text: what, fix: mend });
  return [...missing.map(as('FAIL')), ...warnings.map(as('warn'))];
}
