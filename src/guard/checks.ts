import type { CheckDefinition } from '../domain/definition.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Check } from './check.port.ts';
import { createCommandCheck } from './command-check.ts';
import { createHttpCheck, type HttpCheckDefinition } from './http-check.ts';

export interface CheckEnvironment {
  /** Live address by web surface (`http://127.0.0.1:8080`); surfaces that have none are left out. */
  readonly addresses: ReadonlyMap<string, string>;
  /** Absolute path that commands start in: the folder of the configuration. */
  readonly root: string;
  /** Variables of commands, besides PATH, HOME, LANG and TMPDIR. Default none: a check needs no secret. */
  readonly variables?: { readonly [name: string]: string | undefined };
  /** Takes secrets out of what a command printed, before it is shortened: half a secret is not found any more. */
  mask?(text: string): string;
}

const passedOn = ['PATH', 'HOME', 'LANG', 'TMPDIR'] as const;

function addressOf(definition: HttpCheckDefinition, addresses: ReadonlyMap<string, string>): string | null {
  const { surface, http } = definition;
  if (surface !== undefined) return addresses.get(surface) ?? null;
  const [only, ...others] = addresses.values();
  if (others.length === 0) return only ?? null;
  throw new UnshipError('config-invalid', {
    happened: `the check \`${http}\` does not say which web surface it asks`,
    next: `add surface: one of ${[...addresses.keys()].join(', ')}`,
  });
}

/** The check that a definition describes. Throws `config-invalid`. */
export function createCheck(definition: CheckDefinition, environment: CheckEnvironment): Check {
  if ('http' in definition) {
    const several = environment.addresses.size > 1;
    const check = createHttpCheck(definition, addressOf(definition, environment.addresses));
    return several && definition.surface !== undefined ? renamed(check, definition.surface) : check;
  }
  const inherited = Object.fromEntries(passedOn.map((name) => [name, process.env[name]]));
  const variables = { ...inherited, ...environment.variables };
  const { root, mask = (text) => text } = environment;
  return createCommandCheck(definition, { folder: root, variables, mask });
}

/** Two surfaces may both have a `/health`: their evidence is kept apart. */
function renamed(check: Check, surface: string): Check {
  const name = `${surface} ${check.name}`;
  return {
    name,
    run: async (context) => {
      const result = await check.run(context);
      return { ...result, check: name, seen: `${surface} ${result.seen}` };
    },
  };
}
