import type { SurfaceDefinition } from '../../domain/definition.ts';
import type { SecretReference } from '../../domain/secret.ts';

export interface SqliteOptions {
  /** The live database file, relative to the configuration's folder. */
  readonly file: string;
  /** Folder of migrations inside the repository. Default `migrations`. */
  readonly migrations?: string;
  /** Default: told by the files: `-- migrate:up` inside is dbmate, `*.up.sql` is up-down. */
  readonly format?: 'dbmate' | 'up-down';
  /** Variable that tells the application where its database is, set for its processes. Default none. */
  readonly environment?: string;
  /** A second folder that every backup is copied to. */
  readonly secondLocation?: string;
  /** Public key of age (`age1…`): what lies in the second location is encrypted to it. Default not encrypted. */
  readonly encryptTo?: string;
  /** The private key, where this machine may have it: test restores then begin at the encrypted copy. */
  readonly identity?: SecretReference;
  /** Backups kept besides those that a release still needs. Default 10. */
  readonly keepBackups?: number;
}

export function sqlite(options: SqliteOptions): SurfaceDefinition<SqliteOptions> {
  return { provider: 'sqlite', kind: 'database', options };
}
