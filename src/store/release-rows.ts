import { type Insertable, sql } from 'kysely';
import { type QuarantinedCommit, type Release, type ReleaseId, releaseNumber } from '../domain/release.ts';
import type { Database, Tables } from './schema.ts';

export function readRelease(row: { readonly document: string }): Release {
  return JSON.parse(row.document) as Release;
}

export async function putRelease(db: Database, release: Release): Promise<void> {
  const row: Insertable<Tables['releases']> = {
    number: releaseNumber(release.id),
    deployment: release.deployment,
    health: release.health,
    commit: release.commit,
    document: JSON.stringify(release),
  };
  await db
    .insertInto('releases')
    .values(row)
    .onConflict((conflict) => conflict.column('number').doUpdateSet(row))
    .execute();
}

/**
 * What a plan can come from or go to: the newest ones, the live one, the newest good ones before it, those of them
 * that are of another commit (one may have been deployed every night), the named one. However far back the live one
 * lies, it and the way back from it are among them. As one statement, for a rollback waits for it, and over indexes,
 * for the history may be long.
 */
export async function readPlanningReleases(
  db: Database,
  target: ReleaseId | undefined,
): Promise<readonly Release[]> {
  const named = target === undefined ? 0 : releaseNumber(target);
  const { rows } = await sql<{ document: string }>`
    with live(number) as (
      select coalesce(max(number), 0) from releases where deployment = 'live'
    ), wanted(number) as (
      select number from (select number from releases where number >= (select number from live)
        order by number desc limit 50) as newest
      union select number from live
      union select cast(${named} as bigint)
      union select number from (select number from releases where health = 'good' order by number desc limit 20) as good
      union select number from (select number from releases where health = 'good'
        and number < (select number from live) order by number desc limit 20) as good_before
      union select number from (select number from releases where health = 'good'
        and number < (select number from live)
        and "commit" <> (select "commit" from releases where number = (select number from live))
        order by number desc limit 20) as other_commit
    )
    select document from releases where number in (select number from wanted) order by number desc
  `.execute(db);
  return rows.map(readRelease);
}

export async function readQuarantine(db: Database): Promise<readonly QuarantinedCommit[]> {
  const rows = await db.selectFrom('quarantine').selectAll().orderBy('since', 'desc').execute();
  return rows.map((row) => ({
    commit: row.commit,
    release: row.release as ReleaseId,
    reason: row.reason,
    since: row.since,
    ...(row.fixed_by === null ? {} : { fixedBy: row.fixed_by }),
  }));
}

/** One that was lifted counts again when it is put anew. */
export async function putQuarantine(
  db: Database,
  { commit, release, reason, since, fixedBy }: QuarantinedCommit,
): Promise<void> {
  const row = { release, reason, since, fixed_by: fixedBy ?? null };
  await db
    .insertInto('quarantine')
    .values({ commit, ...row })
    .onConflict((conflict) => conflict.column('commit').doUpdateSet(row))
    .execute();
}
