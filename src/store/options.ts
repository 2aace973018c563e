import type { StateDefinition } from '../domain/definition.ts';
import type { SecretReference } from '../domain/secret.ts';

/**
 * State that a team shares: in a PostgreSQL database other than the one that is rolled back, in a schema of its own for
 * each application and environment. `url` is the secret that holds `postgres://…`.
 */
export function postgres(url: SecretReference): StateDefinition {
  return { provider: 'postgres', options: { url } };
}
