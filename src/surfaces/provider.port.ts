import type { ApplicationDefinition } from '../domain/definition.ts';
import type { Runtime } from '../domain/runtime.ts';
import type { MaskInto, Secret, SecretReference, SecretsIn } from '../domain/secret.ts';
import type { Source } from './source.port.ts';

/** What the composition root gives every provider. */
export interface ProviderEnvironment {
  readonly application: ApplicationDefinition['name'];
  readonly environment: string;
  /** Name of the surface this instance serves. */
  readonly surface: string;
  /** A private folder of this surface's own, mode 0700, in the state folder: never inside the checkout. */
  readonly folder: string;
  /** Paths in options are relative to it: the folder of the configuration file. */
  readonly root: string;
  readonly source: Source;
  readonly runtime: Runtime;
  /** Throws `secret-missing` with the variable's name. */
  reveal(reference: SecretReference): Secret;
  /** For what other programs print and is kept. Absent: there are no secrets. */
  readonly maskInto?: MaskInto | undefined;
  /** For what they have printed into files themselves. Absent: there are no secrets. */
  readonly secretsIn?: SecretsIn | undefined;
  /** Variables that point the application at its databases: `{VAULT_DB: '/srv/data/vault.db'}`. */
  readonly processEnvironment: { readonly [name: string]: string };
}
