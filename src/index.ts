import type { ApplicationDefinition } from './domain/definition.ts';
import type { SecretReference } from './domain/secret.ts';

export type {
  ApplicationDefinition,
  ChannelDefinition,
  CheckDefinition,
  EnvironmentDefinition,
  GuardDefinition,
  StateDefinition,
  SurfaceDefinition,
} from './domain/definition.ts';
export type { Duration } from './domain/duration.ts';
export type { SecretReference } from './domain/secret.ts';

/** The application, as `unship.config.ts` exports it by default. Returns its argument: the types are the point. */
export function defineApplication<const A>(application: A & ApplicationDefinitionInput): A {
  return application;
}

/** Provider factories return typed options, which are plain data: any object is taken here and checked on load. */
export type ApplicationDefinitionInput = Omit<ApplicationDefinition, 'environments'> & {
  readonly environments: { readonly [environment: string]: object };
};

/** A secret by reference: the name of an environment variable, read only when it is needed. */
export function secret(name: string): SecretReference {
  return { $secret: name };
}
