import * as z from 'zod/mini';
import { parseDuration } from '../domain/duration.ts';

/**
 * What each provider's factory takes, as schemas: a JSON configuration has no compiler that would check it.
 * The types stand beside the factories, in `providers/<name>/options.ts`; a test holds the two together.
 */
const durationText = 'a duration such as 500ms, 5s, 10m, 1h or 2d';

export const duration: z.ZodMiniType<string> = z
  .string({ error: durationText })
  .check(z.refine((text) => parseDuration(text) !== undefined, { error: `write ${durationText}` }));

const text = z.string().check(z.minLength(1, 'write something'));
const command = z.union([
  text,
  z.array(z.string()).check(z.minLength(1, 'write a program and its arguments')),
]);
const url = z.string().check(
  z.refine((value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol), {
    error: 'write an address that starts with https:// or http://',
  }),
);
const port = z.int().check(z.gte(1, 'a port is 1 to 65535'), z.lte(65535, 'a port is 1 to 65535'));
const count = z.int().check(z.gte(1, 'at least 1'));

export const secretReference: z.ZodMiniType = z.strictObject(
  { $secret: z.string().check(z.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'name an environment variable')) },
  { error: "secret('NAME'), never the value itself" },
);

const signalName = z.string().check(z.regex(/^SIG[A-Z0-9+]+$/, 'name a signal such as SIGUSR2'));

const buildOptions = {
  buildWithin: z.optional(duration),
  buildMemory: z.optional(count),
  buildReads: z.optional(z.array(text)),
  protectedBranches: z.optional(z.array(text)),
};

const serverOptions = z.strictObject({
  root: z.optional(text),
  install: z.optional(z.union([command, z.literal(false)])),
  build: z.optional(z.union([command, z.literal(false)])),
  start: z.optional(command),
  environment: z.optional(z.record(z.string(), z.string())),
  health: z.optional(z.string().check(z.startsWith('/', 'write a path that starts with /'))),
  startWithin: z.optional(duration),
  drain: z.optional(duration),
  ...buildOptions,
  previous: z.optional(
    z.union([z.enum(['keep', 'stop']), z.strictObject({ standby: signalName, wake: signalName })]),
  ),
  keepOnDisk: z.optional(count),
  switch: z.union([
    z.strictObject({
      gateway: z.strictObject({ port, host: z.optional(text), trustProxy: z.optional(z.boolean()) }),
    }),
    z.strictObject({ symlink: text, folder: z.optional(text), url: z.optional(url) }),
    z.strictObject({
      commands: z.strictObject({ activate: command, live: command }),
      url: z.optional(url),
    }),
  ]),
});

const sqliteOptions = z
  .strictObject({
    file: text,
    migrations: z.optional(text),
    format: z.optional(z.enum(['dbmate', 'up-down'])),
    environment: z.optional(
      z.string().check(z.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'name an environment variable')),
    ),
    secondLocation: z.optional(text),
    encryptTo: z.optional(z.string().check(z.regex(/^age1[0-9a-z]+$/, "write a public key of age: 'age1…'"))),
    identity: z.optional(secretReference),
    keepBackups: z.optional(count),
  })
  .check(
    z.refine((options) => options.encryptTo === undefined || options.secondLocation !== undefined, {
      error: 'encryptTo encrypts what lies in secondLocation: write that too',
    }),
  );

const databaseAddress = z.string({ error: "write secret('DATABASE_URL')" }).check(
  z.refine((value) => URL.canParse(value) && /^postgres(ql)?:$/.test(new URL(value).protocol), {
    error: 'write an address that starts with postgres://',
  }),
  // The configuration is stored with each release, and printed.
  z.refine((value) => !URL.canParse(value) || new URL(value).password === '', {
    error: "an address with a password is a secret: secret('DATABASE_URL')",
  }),
);

const postgresOptions = z.strictObject({
  url: z.union([secretReference, databaseAddress]),
  migrations: z.optional(text),
  format: z.optional(z.enum(['dbmate', 'up-down'])),
  environment: z.optional(
    z.string().check(z.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'name an environment variable')),
  ),
  maintenance: z.optional(text),
  programs: z.optional(text),
  keepBackups: z.optional(count),
});

const feedOptions = z.strictObject({
  root: z.optional(text),
  folder: text,
  artifacts: text,
  build: z.optional(command),
  ...buildOptions,
  standby: z.optional(text),
  url: z.optional(url),
});

const slackOptions = z.strictObject({ webhook: secretReference });

export const surfaceOptions: {
  readonly [provider: string]: {
    readonly kind: 'web' | 'desktop' | 'database';
    readonly options: z.ZodMiniType;
  };
} = {
  server: { kind: 'web', options: serverOptions },
  feed: { kind: 'desktop', options: feedOptions },
  sqlite: { kind: 'database', options: sqliteOptions },
  postgres: { kind: 'database', options: postgresOptions },
};

export const channelOptions: { readonly [provider: string]: { readonly options: z.ZodMiniType } } = {
  slack: { options: slackOptions },
};
