import type { DatabaseArtifact } from '../../domain/facts.ts';
import type { Json } from '../../domain/json.ts';

export type { DatabaseArtifact };

/** The artifact of a database surface's release; null when it is none: written by hand, or of another version. */
export function readDatabaseArtifact(artifact: Json): DatabaseArtifact | null {
  if (artifact === null || typeof artifact !== 'object' || Array.isArray(artifact)) return null;
  const { applied, fingerprint } = artifact as { readonly applied?: Json; readonly fingerprint?: Json };
  if (!Array.isArray(applied) || typeof fingerprint !== 'string') return null;
  const versions = applied.filter((version): version is string => typeof version === 'string');
  return versions.length === applied.length ? { applied: versions, fingerprint } : null;
}
