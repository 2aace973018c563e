import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EnvironmentDefinition } from '../../src/domain/definition.ts';
import { flat, givenGoodRelease, givenTwoReleases, requireExit, requireServed } from '../e2e/given.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { said } from '../support/world.ts';
import { requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const team = { team: [{ provider: 'slack', options: { webhook: { $secret: 'HOOK' } } }] } as const;

/** Values that are none, and what is told of them: never the value, which is the beginning of the whole one. */
const values: readonly (readonly [value: string, told: RegExp])[] = [
  ['', /the environment variable HOOK is not set/],
  ['xoxb-12', /HOOK has 7 characters; a secret has at least 8/],
  ['   ', /HOOK has 3 characters; a secret has at least 8/],
];

describe('a secret that is empty or cut off', { concurrency: 2 }, () => {
  it('stops neither a release nor a rollback of the web; who was not told is said', async (context) => {
    const { world } = await givenTwoReleases(context, program, { environment: { notifications: team } });
    for (const [value, told] of values) {
      const variables = { HOOK: value };
      const ended = [
        await world.run(['config'], variables),
        await world.run(['doctor'], variables),
        await world.run(['rollback', '--yes'], variables),
        await world.run(['undo', '--yes'], variables),
      ];
      assert.deepEqual(
        ended.map(({ exit }) => exit),
        [2, 0, 0, 0],
      );
      for (const one of ended) {
        assert.match(flat(one), told);
        if (value.trim() !== '') assert.ok(!said(one).includes(value), 'the value was printed');
      }
      await requireServed(world, 'r2', 'v2');
    }
  });

  it('stops what can not be done without it before anything is done', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    const { surfaces, ...rest } = world.environment('web-and-database');
    const database = {
      provider: 'sqlite',
      kind: 'database',
      options: { file: world.database, environment: 'DB', identity: { $secret: 'AGE_KEY' } },
    } as EnvironmentDefinition['surfaces'][string];
    world.configure({ production: { ...rest, surfaces: { ...surfaces, database } } });
    await world.commit({ version: 'v2', column: 'mood' });
    const variables = { AGE_KEY: 'AGE-SEC' };
    const config = await world.run(['config'], variables);
    requireExit(config, 2);
    assert.match(config.stdout, /FAIL {2}AGE_KEY has 7 characters/);
    const release = await world.run(['release', '--yes'], variables);
    requireExit(release, 0);
    assert.match(flat(release), /AGE_KEY has 7 characters/);
    assert.ok(!said(release).includes('AGE-SEC'));
  });
});

describe('a provider that there is none of', { concurrency: 2 }, () => {
  it('is named with its line and with those that there are, and nothing is done', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    const usual = world.environment('web');
    const { surfaces } = usual;
    for (const [changed, told] of [
      [
        { surfaces: { web: { ...surfaces.web, provider: 'heroku' } } },
        /unship\.config\.json:\d+: environments\.production\.surfaces\.web\.provider there is no provider `heroku` here; there are server, feed, sqlite/,
      ],
      [
        { surfaces: { web: { ...surfaces.web, provider: 'constructor' } } },
        /there is no provider `constructor` here/,
      ],
      [
        { notifications: { team: [{ provider: 'pager', options: {} }] } },
        /notifications\.team\.0\.provider there is no provider `pager` here; there are slack/,
      ],
    ] as const) {
      world.configure({ production: { ...usual, ...changed } as never });
      await world.commit({ version: 'v2', column: 'mood' });
      const error = requireTold(await world.run(['release', '--yes', '--json']), 2, 'config-invalid');
      assert.match(error.happened, told);
      assert.equal(error.done, 'nothing');
      await requireServed(world, 'r1', 'v1');
      assert.equal(world.runs().length, 1);
    }
  });
});
