import type { Migration } from '../../domain/migrations/migration-files.ts';
import { normalizeSql, tokenize } from '../../domain/migrations/sql-statements.ts';
import type { MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { Archive, Direction } from './archive.ts';
import type { Core } from './core.ts';
import type { TransitionResult } from './transition.ts';

/** What identifies the text that ran upwards. */
export function checksumOf(core: Core, migration: Migration): string {
  return core.environment.runtime.digest(migration.source);
}

export function upChecksum(core: Core, migration: Migration): string {
  return core.environment.runtime.digest(normalizeSql(tokenize(migration.up)));
}

export function archiveOf(
  core: Core,
  request: MigrationRequest,
  migration: Migration,
  direction: Direction,
  { id, own, ...result }: TransitionResult,
  {
    mark,
    at,
    withheldIn,
  }: { readonly mark: string | null; readonly at: number; readonly withheldIn: string | null },
): Archive {
  return {
    id,
    mark,
    own,
    record: {
      schema: 'unship.archive/1',
      release: request.release,
      version: migration.version,
      name: migration.name,
      direction,
      checksum: upChecksum(core, migration),
      ...result,
      at,
      withheldIn: result.withheld > 0 ? withheldIn : null,
    },
  };
}
