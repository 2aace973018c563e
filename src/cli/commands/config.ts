import { secretNames } from '../../config/secrets.ts';
import type { Answer, CommandContext } from '../context.ts';
import { labelled, table } from '../output/layout.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const { file, definition, hash, environment, stateBase } = await context.configuration();
  const body = definition.environments[environment];
  const surfaces = Object.entries(body?.surfaces ?? {});
  const { environment: variables } = context.host;
  const secrets = secretNames(body).map((name) => ({ name, set: (variables[name] ?? '') !== '' }));
  const rows = surfaces.map(([name, one]) => [name, one.kind, one.provider, JSON.stringify(one.options)]);
  return {
    exit: 0,
    document: { schema: 'unship.config/1', file, hash, environment, stateBase, secrets, definition },
    screen: [
      `${definition.name}, ${environment} (of ${Object.keys(definition.environments).join(', ')})`,
      ...labelled('File', file),
      ...labelled('Hash', hash),
      ...labelled('State', `${stateBase}/${definition.name}/${environment}`),
      ...table(rows, 3),
      ...secrets.map((one) =>
        `${one.set ? 'ok' : 'FAIL'}`.padEnd(6).concat(`secret ${one.name}${one.set ? '' : ' is not set'}`),
      ),
    ],
  };
}
