import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { ApplicationDefinition } from '../../src/domain/definition.ts';
import { example } from './vault.ts';

const source = pathToFileURL(join(import.meta.dirname, '../../src/'));

/** Loads the example's configuration as it evaluates under `environment`. */
async function load(environment: { readonly [name: string]: string }): Promise<ApplicationDefinition> {
  const names = [
    'VAULT_PORT',
    'VAULT_DB',
    'VAULT_FEED',
    'VAULT_BAKE_SECONDS',
    'VAULT_LOOK_SECONDS',
    'SLACK_WEBHOOK',
  ];
  const before = names.map((name) => [name, process.env[name]] as const);
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const [, provider] = /^unship(?:\/providers\/(\w+))?$/.exec(specifier) ?? [null, null];
      if (provider === null) return next(specifier, context);
      const file = provider === undefined ? 'index.ts' : `providers/${provider}/options.ts`;
      return next(new URL(file, source).href, context);
    },
  });
  try {
    for (const name of names) delete process.env[name];
    Object.assign(process.env, environment);
    const url = `${pathToFileURL(join(example, 'unship.config.ts'))}?${new URLSearchParams(environment)}`;
    return ((await import(url)) as { default: ApplicationDefinition }).default;
  } finally {
    hooks.deregister();
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

test("the example's configuration stands without any variable", async () => {
  const production = (await load({})).environments.production;
  assert.deepEqual(production?.surfaces, {
    web: {
      provider: 'server',
      kind: 'web',
      options: { start: 'node server.mjs', health: '/health', switch: { gateway: { port: 8080 } } },
    },
    vault: {
      provider: 'sqlite',
      kind: 'database',
      options: { file: 'data/vault.db', migrations: 'migrations', environment: 'VAULT_DB' },
    },
    desktop: {
      provider: 'feed',
      kind: 'desktop',
      options: {
        artifacts: 'desktop/dist/{version}',
        folder: 'updates',
        standby: 'desktop/standby/{commit}',
      },
    },
  });
  assert.deepEqual(production?.guard, { bake: '600s', every: '5s', desktop: 'during' });
  assert.deepEqual(production?.notifications, { team: [] });
});

test("the example's configuration takes port, places, watch and channel from the environment, never the secret", async () => {
  const webhook = 'https://hooks.slack.com/services/T000/B000/canary';
  const definition = await load({
    VAULT_PORT: '18080',
    VAULT_DB: '/srv/vault.db',
    VAULT_BAKE_SECONDS: '2',
    VAULT_LOOK_SECONDS: '0.2',
    SLACK_WEBHOOK: webhook,
  });
  const production = definition.environments.production;
  assert.match(JSON.stringify(production?.surfaces), /"port":18080.*"\/srv\/vault\.db"/);
  assert.deepEqual(production?.guard, { bake: '2s', every: '0.2s', desktop: 'during' });
  assert.deepEqual(production?.notifications?.team, [
    { provider: 'slack', options: { webhook: { $secret: 'SLACK_WEBHOOK' } } },
  ]);
  assert.doesNotMatch(JSON.stringify(definition), /canary/);
});
