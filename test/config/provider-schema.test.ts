import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelOptions, surfaceOptions } from '../../src/config/provider-schema.ts';
import { type ConfigurationProblem, problemsOf } from '../../src/config/schema.ts';
import type { ChannelDefinition, SurfaceDefinition } from '../../src/domain/definition.ts';
import { secret } from '../../src/index.ts';
import { type FeedOptions, feed } from '../../src/providers/feed/options.ts';
import { type PostgresOptions, postgres } from '../../src/providers/postgres/options.ts';
import { type ServerOptions, server } from '../../src/providers/server/options.ts';
import { type SlackOptions, slack } from '../../src/providers/slack/options.ts';
import { type SqliteOptions, sqlite } from '../../src/providers/sqlite/options.ts';
import * as state from '../../src/store/options.ts';

/** Every option of a type, with a value; the compiler says when one was added to the type. */
const everyServerOption: Required<ServerOptions> = {
  root: 'web',
  install: ['npm', 'ci'],
  build: false,
  start: 'node server.js',
  environment: { NODE_ENV: 'production' },
  health: '/health',
  startWithin: '30s',
  drain: '10s',
  buildWithin: '15m',
  buildMemory: 2048,
  buildReads: ['/opt/sdk'],
  protectedBranches: ['main'],

  previous: { standby: 'SIGUSR1', wake: 'SIGUSR2' },
  keepOnDisk: 5,
  switch: { gateway: { port: 8080, host: '127.0.0.1' } },
};
const everySqliteOption: Required<SqliteOptions> = {
  file: 'vault.db',
  migrations: 'migrations',
  format: 'dbmate',
  environment: 'VAULT_DB',
  secondLocation: '/mnt/backups',
  encryptTo: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
  identity: { $secret: 'BACKUP_IDENTITY' },
  keepBackups: 10,
};
const everyPostgresOption: Required<PostgresOptions> = {
  url: secret('DATABASE_URL'),
  migrations: 'migrations',
  format: 'dbmate',
  environment: 'DATABASE_URL',
  maintenance: 'postgres',
  programs: '/usr/lib/postgresql/15/bin',
  keepBackups: 10,
};
const everyFeedOption: Required<FeedOptions> = {
  root: 'desktop',
  folder: '/srv/updates',
  artifacts: 'dist/{version}',
  build: ['npm', 'run', 'dist'],
  buildWithin: '15m',
  buildMemory: 2048,
  buildReads: ['/opt/sdk'],
  protectedBranches: ['main'],
  standby: 'dist/{commit}',
  url: 'https://updates.example.com/',
};
const everySlackOption: Required<SlackOptions> = { webhook: secret('SLACK_WEBHOOK') };

const definitions: readonly (SurfaceDefinition<object> | ChannelDefinition<object>)[] = [
  server(everyServerOption),
  server({ switch: { symlink: '/srv/live', folder: 'dist', url: 'http://localhost/' } }),
  server({
    switch: { commands: { activate: 'bin/on', live: ['bin/live'] }, url: 'http://x/' },
    previous: 'stop',
  }),
  sqlite(everySqliteOption),
  sqlite({ file: 'vault.db' }),
  postgres(everyPostgresOption),
  postgres({ url: 'postgres://app@localhost/vault' }),
  feed(everyFeedOption),
  slack(everySlackOption),
];

test('the schemas take every option that the types of the providers have', () => {
  for (const { provider, options } of definitions) {
    const schema = (surfaceOptions[provider] ?? channelOptions[provider])?.options;
    const result = schema?.safeParse(options);
    assert.deepEqual(result?.success === true ? [] : result?.error.issues, [], provider);
  }
});

test('state is taken as its factory writes it, and its address only as a secret', () => {
  const surfaces = { web: server({ switch: { gateway: { port: 1 } } }) };
  const problems = (stated: unknown): readonly ConfigurationProblem[] =>
    problemsOf({ name: 'vault', environments: { production: { surfaces, state: stated } } });
  assert.deepEqual(problems(state.postgres(secret('UNSHIP_STATE_URL'))), []);
  const written = problems({
    provider: 'postgres',
    options: { url: 'postgres://ada:hunter2hunter2@db/unship' },
  });
  assert.deepEqual(
    written.map(({ path, message }) => [path.join('.'), message]),
    [['environments.production.state.options.url', "must be secret('NAME'), never the value itself"]],
  );
  assert.equal(problems({ provider: 'redis', options: { url: secret('A') } }).length, 1);
});

test('and none that they do not have', () => {
  for (const { provider, options } of definitions) {
    const schema = (surfaceOptions[provider] ?? channelOptions[provider])?.options;
    assert.equal(schema?.safeParse({ ...options, invented: 1 }).success, false, provider);
  }
});

test('an address with a password is a secret, and never stands in the configuration itself', () => {
  const { options } = surfaceOptions.postgres ?? {};
  const problems = (url: unknown): unknown => options?.safeParse({ url }).error?.issues.length;
  assert.equal(problems(secret('DATABASE_URL')), undefined);
  assert.equal(problems('postgres://app:password@localhost/vault'), 1);
  assert.equal(problems('mysql://app@localhost/vault'), 1);
});
