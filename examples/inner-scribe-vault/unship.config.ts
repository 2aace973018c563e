import { defineApplication, secret } from 'unship';
import { feed } from 'unship/providers/feed';
import { server } from 'unship/providers/server';
import { slack } from 'unship/providers/slack';
import { sqlite } from 'unship/providers/sqlite';

const { env } = process;

export default defineApplication({
  name: 'inner-scribe-vault',
  environments: {
    production: {
      surfaces: {
        web: server({
          start: 'node server.mjs',
          health: '/health',
          switch: { gateway: { port: Number(env.VAULT_PORT ?? 8080) } },
        }),
        vault: sqlite({
          file: env.VAULT_DB ?? 'data/vault.db',
          migrations: 'migrations',
          environment: 'VAULT_DB',
        }),
        desktop: feed({
          artifacts: 'desktop/dist/{version}',
          folder: env.VAULT_FEED ?? 'updates',
          // The good code of that commit, built under a higher version: what a rollback publishes.
          standby: 'desktop/standby/{commit}',
        }),
      },
      // The second one is what people do: a process can be well while search is not.
      checks: [{ http: '/health' }, { http: '/api/entries?q=the' }],
      guard: {
        bake: `${Number(env.VAULT_BAKE_SECONDS ?? 600)}s`,
        every: `${Number(env.VAULT_LOOK_SECONDS ?? 5)}s`,
        // Web and desktop share one API: they go out together, and the watch sees both.
        desktop: 'during',
      },
      notifications: {
        team: env.SLACK_WEBHOOK === undefined ? [] : [slack({ webhook: secret('SLACK_WEBHOOK') })],
      },
    },
  },
});
