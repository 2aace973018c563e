import type { Connection } from './connection.ts';

/** What has to be known of a server before anything is done with it. */
export interface ServerFacts {
  readonly major: number;
  readonly version: string;
  /** Tells this server's transactions from another's; empty where the role may not know. */
  readonly id: string;
  readonly bytes: number;
}

export async function serverFacts(connection: Connection): Promise<ServerFacts> {
  const [row] = await connection.rows<{ num: string; version: string; bytes: string }>(
    `SELECT current_setting('server_version_num') AS num, current_setting('server_version') AS version,
       pg_database_size(current_database())::text AS bytes`,
  );
  return {
    major: Math.floor(Number(row?.num ?? 0) / 10_000),
    version: row?.version.split(' ')[0] ?? '',
    id: await systemId(connection),
    bytes: Number(row?.bytes ?? 0),
  };
}

async function systemId(connection: Connection): Promise<string> {
  const [may] = await connection.rows<{ may: boolean }>(
    `SELECT has_function_privilege('pg_control_system()', 'execute') AS may`,
  );
  if (may?.may !== true) return '';
  const [row] = await connection.rows<{ id: string }>(
    'SELECT system_identifier::text AS id FROM pg_control_system()',
  );
  return row?.id ?? '';
}
