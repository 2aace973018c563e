import { secretNames, secretProblem } from '../../config/secrets.ts';
import type { EnvironmentDefinition } from '../../domain/definition.ts';
import { exitCodes } from '../../domain/errors.ts';
import type { Answer, CommandContext } from '../context.ts';
import { labelled, table } from '../output/layout.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const { file, definition, hash, environment, stateBase } = await context.configuration();
  const body = definition.environments[environment];
  const surfaces = Object.entries(body?.surfaces ?? {});
  const { environment: variables } = context.host;
  const secrets = secretNames(body).map((name) => {
    const problem = secretProblem(name, variables);
    return { name, set: problem === undefined, problem };
  });
  const rows = surfaces.map(([name, one]) => [name, one.kind, one.provider, JSON.stringify(one.options)]);
  return {
    exit: secrets.every((one) => one.set) ? 0 : exitCodes.usage,
    document: { schema: 'unship.config/1', file, hash, environment, stateBase, secrets, definition },
    screen: [
      `${definition.name}, ${environment} (of ${Object.keys(definition.environments).join(', ')})`,
      ...labelled('File', file),
      ...labelled('Hash', hash),
      ...labelled('State', stateOf(body, `${stateBase}/${definition.name}/${environment}`)),
      ...table(rows, 3),
      ...secrets.map((one) =>
        one.problem === undefined ? `ok    secret ${one.name}` : `FAIL  ${one.problem}`,
      ),
    ],
  };
}

function stateOf(body: EnvironmentDefinition | undefined, folder: string): string {
  const { state } = body ?? {};
  if (state === undefined) return folder;
  return `${state.provider}, at the address in ${state.options.url.$secret}; backups and builds in ${folder}`;
}
