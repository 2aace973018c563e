import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { disposeGateway } from '../../../src/providers/server/gateway-switch.ts';
import { createServer } from '../../../src/providers/server/index.ts';
import type { ServerOptions } from '../../../src/providers/server/options.ts';
import { type WebScenario, webContract } from '../../../src/testing/web-contract.ts';
import { ask, freePort } from '../../gateway/support.ts';
import { World, work } from './scenario.ts';

const contents = ['one', 'two', 'three', 'four', 'broken', 'sick'];
const common = {
  install: false,
  // Not `npm run build`: npm takes longer to start than all the rest.
  build: ['node', 'build.mjs'],
  health: '/health',
  startWithin: '3s',
  drain: '1s',
  keepOnDisk: 2,
} as const;

interface Variant {
  readonly options: ServerOptions;
  readonly startsProcesses: boolean;
  visit(): Promise<string | null>;
}

function scenarioOf(prepare: (world: World) => Promise<Variant>): () => Promise<WebScenario> {
  return async () => {
    const world = new World(contents);
    const { options, startsProcesses, visit } = await prepare(world);
    return {
      port: createServer(options, world.environment()),
      surface: 'web',
      good: [
        world.target('r1', 'one'),
        world.target('r2', 'two'),
        world.target('r3', 'three'),
        world.target('r4', 'four'),
      ],
      failsToBuild: world.target('r5', 'broken'),
      failsToStart: startsProcesses ? world.target('r6', 'sick') : null,
      commitGone: world.target('r7', 'never committed'),
      keepOnDisk: 2,
      work,
      visit,
      dispose: async () => {
        await disposeGateway(join(world.state, 'gateway'));
        world.remove();
      },
    };
  };
}

webContract(
  'server with the gateway',
  scenarioOf(async () => {
    const port = await freePort();
    return {
      options: { ...common, start: ['node', 'server.mjs'], switch: { gateway: { port } } },
      startsProcesses: true,
      visit: () =>
        ask(port, '/').then(
          ({ status, body }) => (status === 200 ? body : null),
          () => null,
        ),
    };
  }),
);

webContract(
  'server with a symbolic link',
  scenarioOf(async (world) => {
    const page = join(world.base, 'www', 'index.html');
    world.write('../www.releases/.keep', '');
    return {
      options: { ...common, switch: { symlink: '../www', folder: 'public' } },
      startsProcesses: false,
      visit: async () => (existsSync(page) ? readFileSync(page, 'utf8') : null),
    };
  }),
);

webContract(
  'server with commands of its own',
  scenarioOf(async (world) => {
    const file = join(world.base, 'active.txt');
    writeFileSync(
      join(world.base, 'activate.mjs'),
      `import { writeFileSync } from 'node:fs';
       writeFileSync(${JSON.stringify(file)}, process.env.UNSHIP_RELEASE + ' ' + process.env.UNSHIP_PORT);`,
    );
    writeFileSync(file, '');
    return {
      options: {
        ...common,
        start: ['node', 'server.mjs'],
        switch: {
          commands: {
            activate: ['node', join(world.base, 'activate.mjs')],
            live: ['cut', '-d', ' ', '-f', '1', file],
          },
        },
      },
      startsProcesses: true,
      visit: async () => {
        const port = Number(readFileSync(file, 'utf8').split(' ')[1]);
        return Number.isNaN(port)
          ? null
          : ask(port, '/').then(
              ({ body }) => body,
              () => null,
            );
      },
    };
  }),
);
