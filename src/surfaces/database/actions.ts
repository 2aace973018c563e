import { Input } from '../input.ts';
import type { ActionHandler, Surface } from '../surface.port.ts';
import type { DatabasePort, MigrationRequest } from './database.port.ts';

/** A database as a surface. */
export function databaseSurface(name: string, port: DatabasePort): Surface {
  return {
    name,
    kind: 'database',
    observe: (context, query) => port.observe(context, query),
    raiseFence: (context) => port.raiseFence(context),
    actions: databaseActions(port),
  };
}

function request(input: Input): MigrationRequest {
  return {
    release: input.release('release'),
    commit: input.text('commit'),
    versions: input.texts('versions'),
  };
}

function reversed(wanted: MigrationRequest): MigrationRequest {
  return { ...wanted, versions: [...wanted.versions].reverse() };
}

function databaseActions(port: DatabasePort): { readonly [action: string]: ActionHandler } {
  const nothing = async (): Promise<void> => {};
  const schema = (
    input: Input,
    output: Input,
  ): { readonly fingerprint: string; readonly applied: readonly string[] } => ({
    fingerprint: output.text('fingerprint'),
    applied: input.texts('applied'),
  });
  return {
    'database.backup': {
      validate: nothing,
      apply: async (context, input) => ({
        ...(await port.backup(context, new Input(input).release('release'))),
      }),
      verify: (context, _input, output) => port.verifyBackup(context, new Input(output).text('id')),
      undo: (context, input) => port.discardUnfinishedBackup(context, new Input(input).release('release')),
    },
    'database.migrate-up': {
      validate: nothing,
      apply: async (context, input) => {
        const read = new Input(input);
        return { ...(await port.migrateUp(context, request(read))), applied: [...read.texts('applied')] };
      },
      verify: (context, input, output) =>
        port.verifySchema(context, schema(new Input(input), new Input(output))),
      undo: async (context, input) => {
        await port.migrateDown(context, reversed(request(new Input(input))));
      },
    },
    'database.migrate-down': {
      validate: nothing,
      apply: async (context, input) => ({ ...(await port.migrateDown(context, request(new Input(input)))) }),
      verify: (context, input, output) =>
        port.verifySchema(context, schema(new Input(input), new Input(output))),
      undo: async (context, input) => {
        await port.migrateUp(context, reversed(request(new Input(input))));
      },
    },
    'database.restore': {
      validate: async (context, input) => {
        await port.verifyBackup(context, new Input(input).text('backup'));
      },
      apply: async (context, input) => ({
        ...(await port.restore(context, {
          backup: new Input(input).text('backup'),
          maximumRowsLost: context.maximumRowsLost,
        })),
      }),
      verify: (context, input, output) =>
        port.verifySchema(context, schema(new Input(input), new Input(output))),
      undo: async (context, input, output) => {
        // Cut off before its answer was journaled: the provider's own record tells whether anything was overwritten.
        const backup =
          output === undefined
            ? (await port.restored(context, new Input(input).text('backup')))?.safetyBackup
            : new Input(output).text('safetyBackup');
        if (backup !== undefined) await port.restore(context, { backup, maximumRowsLost: 0 });
      },
    },
  };
}
