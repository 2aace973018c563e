import type { DatabaseSync } from 'node:sqlite';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import { fileOf, type Migration } from '../../domain/migrations/migration-files.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { dryRun, type Script } from './dry-run.ts';
import { migrationStatements } from './guard-statements.ts';

/** The down of a migration. Throws `no-down-migration`, `migration-forbidden`. */
export function downScript(migration: Migration): Script {
  if (migration.down === null || migration.declared.has('restore-only')) {
    throw new UnshipError('no-down-migration', {
      happened:
        migration.down === null
          ? `${migration.name} has no down migration`
          : `${migration.name} is marked restore-only`,
      done: 'nothing was changed',
    });
  }
  const file = fileOf(migration, 'down');
  return { file, statements: migrationStatements(file, migration.down) };
}

/**
 * Why these downs can't run, found on an empty copy of the schema: null when they can. It is a fact about one way
 * back, so it is told and never thrown: the others must still be seen.
 *
 * @param open newest first
 */
export function whyDownFails(
  context: LookContext,
  database: DatabaseSync,
  open: readonly Migration[],
): { readonly version: string; readonly reason: string } | null {
  const scripts: Script[] = [];
  for (const migration of open) {
    if (migration.down === null || migration.declared.has('restore-only')) return null;
    context.signal.throwIfAborted();
    try {
      scripts.push(downScript(migration));
      dryRun(database, scripts);
    } catch (error) {
      const reason = isUnshipError(error) ? error.details.happened : messageOf(error);
      return { version: migration.version, reason: `its down migration does not run: ${reason}` };
    }
  }
  return null;
}
