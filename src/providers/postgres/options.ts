import type { SurfaceDefinition } from '../../domain/definition.ts';
import type { SecretReference } from '../../domain/secret.ts';

export interface PostgresOptions {
  /** Where the live database is, `postgres://user:password@host:port/name`: `secret('DATABASE_URL')`. */
  readonly url: SecretReference | string;
  /** Folder of migrations inside the repository. Default `migrations`. */
  readonly migrations?: string;
  /** Default: told by the files: `-- migrate:up` inside is dbmate, `*.up.sql` is up-down. */
  readonly format?: 'dbmate' | 'up-down';
  /** Variable that tells the application where its database is, set for its processes. Default none. */
  readonly environment?: string;
  /** A database on the same server that can be connected to while the live one is replaced. Default `postgres`. */
  readonly maintenance?: string;
  /** Folder of pg_dump and pg_restore. Default: the server's version where Debian has it, then the PATH. */
  readonly programs?: string;
  /** Backups kept besides those that a release still needs. Default 10. */
  readonly keepBackups?: number;
}

export function postgres(options: PostgresOptions): SurfaceDefinition<PostgresOptions> {
  return { provider: 'postgres', kind: 'database', options };
}
