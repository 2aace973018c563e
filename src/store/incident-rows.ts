import type { Selectable } from 'kysely';
import type { ReleaseId } from '../domain/release.ts';
import type { Database, Tables } from './schema.ts';
import type { IncidentRecord } from './store.port.ts';

export function readIncident(row: Selectable<Tables['incidents']>): IncidentRecord {
  return {
    id: row.id,
    run: row.run,
    release: row.release as ReleaseId | null,
    openedAt: row.opened_at,
    draft: row.draft,
  };
}

export async function incidentBy(
  db: Database,
  column: 'id' | 'run',
  value: number,
): Promise<IncidentRecord | undefined> {
  const row = await db.selectFrom('incidents').selectAll().where(column, '=', value).executeTakeFirst();
  return row === undefined ? undefined : readIncident(row);
}

export async function insertIncident(
  db: Database,
  { run, release, openedAt, draft }: Omit<IncidentRecord, 'id'>,
): Promise<IncidentRecord> {
  const row = { run, release, opened_at: openedAt, draft };
  return readIncident(await db.insertInto('incidents').values(row).returningAll().executeTakeFirstOrThrow());
}
