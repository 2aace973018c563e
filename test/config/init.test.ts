import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { detect } from '../../src/config/detect.ts';
import { writeConfiguration } from '../../src/config/write.ts';
import { runProgram } from '../cli/program.ts';

function project(context: TestContext, files: { readonly [path: string]: string }): string {
  const folder = mkdtempSync(join(tmpdir(), 'unship-init-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    if (text === 'sqlite') new DatabaseSync(join(folder, path)).exec('CREATE TABLE entries (id INTEGER)');
    else writeFileSync(join(folder, path), text);
  }
  return folder;
}

const vault = {
  'package.json': JSON.stringify({
    name: '@inner/scribe-vault',
    scripts: { build: 'x', start: 'node server.mjs' },
  }),
  'server.mjs': `if (request.url === '/healthz') answer(200);`,
  'desktop/package.json': JSON.stringify({
    version: '1.0.0',
    devDependencies: { electron: '1', 'electron-builder': '1' },
  }),
  'desktop/electron-builder.yml':
    'publish:\n  # provider: github\n  - provider: generic\n    url: https://updates.example.com/vault\ndirectories:\n  output: out\n',
  'migrations/0001_entries.sql':
    '-- migrate:up\nCREATE TABLE entries (id);\n-- migrate:down\nDROP TABLE entries;\n',
  'data/vault.db': 'sqlite',
  'data/cache.db': 'not a database, whatever its name says',
  '.env.example': 'PORT=1\nVAULT_DB=data/vault.db\n',
};

test('init finds web, desktop and database, says from what, writes a configuration that loads', async (context) => {
  const folder = project(context, { ...vault, '.gitignore': 'node_modules' });
  const first = await runProgram(folder, ['init']);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /^Found {5}web {6}package\.json: build, start +server$/m);
  assert.match(first.stderr, /desktop {2}desktop\/electron-builder\.yml: generic +feed$/m);
  assert.match(first.stderr, /vault {4}migrations\/ \(dbmate\), data\/vault\.db +sqlite$/m);
  assert.equal(first.stdout, 'Wrote     unship.config.ts, .gitignore\nNext      unship doctor\n');
  assert.equal(readFileSync(join(folder, '.gitignore'), 'utf8'), 'node_modules\n.unship/\n');
  assert.equal(statSync(join(folder, 'unship.config.ts')).mode & 0o777, 0o644);
  const config = await runProgram(folder, ['config', '--json']);
  const { definition } = JSON.parse(config.stdout) as { readonly definition: unknown };
  assert.deepEqual(definition, {
    name: 'scribe-vault',
    environments: {
      production: {
        checks: [{ http: '/healthz', status: 200 }],
        surfaces: {
          web: {
            provider: 'server',
            kind: 'web',
            options: { health: '/healthz', switch: { gateway: { port: 8080 } } },
          },
          desktop: {
            provider: 'feed',
            kind: 'desktop',
            options: {
              root: 'desktop',
              artifacts: 'desktop/out',
              folder: 'updates',
              url: 'https://updates.example.com/vault',
            },
          },
          vault: {
            provider: 'sqlite',
            kind: 'database',
            options: { file: 'data/vault.db', migrations: 'migrations', environment: 'VAULT_DB' },
          },
        },
      },
    },
  });
});

test('init never overwrites, and says so before it asks anything', async (context) => {
  const folder = project(context, { ...vault, 'unship.config.mjs': 'export default 1;' });
  const { code, stderr } = await runProgram(folder, ['init', '--yes']);
  assert.equal(code, 3);
  assert.match(stderr, /already-there/);
  assert.equal(readFileSync(join(folder, 'unship.config.mjs'), 'utf8'), 'export default 1;');
  assert.throws(() => statSync(join(folder, 'unship.config.ts')));
});

test('init --dry-run writes nothing', async (context) => {
  const folder = project(context, vault);
  const { code, stdout } = await runProgram(folder, ['init', '--dry-run']);
  assert.equal(code, 0);
  assert.match(stdout, /defineApplication\(\{[\s\S]*Nothing was written\.\n$/);
  assert.throws(() => statSync(join(folder, 'unship.config.ts')));
});

test('init says what it saw and cannot take back yet, and writes nothing when that is all', async (context) => {
  const folder = project(context, {
    'package.json': JSON.stringify({ dependencies: { pg: '8' } }),
    'vercel.json': '{}',
    'netlify.toml': '',
    'prisma/schema.prisma': '',
  });
  const { code, stderr } = await runProgram(folder, ['init']);
  assert.equal(code, 2);
  for (const seen of [
    /vercel\.json: Vercel project/,
    /Netlify site/,
    /Prisma migrations/,
    /PostgreSQL database/,
  ]) {
    assert.match(stderr, seen);
  }
  assert.throws(() => statSync(join(folder, 'unship.config.ts')));
});

test('init finds a PostgreSQL database by its driver, its migrations and the variable that says where', async (context) => {
  const folder = project(context, {
    'package.json': JSON.stringify({ name: 'vault', dependencies: { pg: '8' } }),
    'db/migrations/1_a.up.sql': 'create table a (id int);',
    '.env.example': 'DATABASE_URL=postgres://localhost/vault',
  });
  assert.equal((await runProgram(folder, ['init', '--yes'])).code, 0);
  const text = readFileSync(join(folder, 'unship.config.ts'), 'utf8');
  assert.match(text, /import \{ defineApplication, secret \} from 'unship'/);
  const config = await runProgram(folder, ['config', '--json']);
  const { definition } = JSON.parse(config.stdout) as {
    readonly definition: { readonly environments: { readonly production: { readonly surfaces: unknown } } };
  };
  assert.deepEqual(definition.environments.production.surfaces, {
    database: {
      provider: 'postgres',
      kind: 'database',
      options: {
        url: { $secret: 'DATABASE_URL' },
        migrations: 'db/migrations',
        environment: 'DATABASE_URL',
      },
    },
  });
});

test('detection: several packages get names of their own, code that is no health check is none', (context) => {
  const start = JSON.stringify({ scripts: { start: 'x' } });
  const folder = project(context, {
    'package.json': '{"name":"Ünsafe Name!"}',
    'apps/web/package.json': start,
    'packages/web/package.json': start,
    'apps/web/index.js': `const path = "/healthy-food";`,
    'apps/web/node_modules/x/index.js': `"/health"`,
  });
  const { name, findings } = detect(folder);
  assert.equal(name, 'nsafe-name');
  assert.deepEqual(
    findings.map((one) => (one.kind === 'web' ? [one.surface, one.root, one.health] : one.kind)),
    [
      ['web', 'apps/web', null],
      ['web-2', 'packages/web', null],
    ],
  );
});

test('detection: up-down migrations, and electron-builder in package.json with another host', (context) => {
  const folder = project(context, {
    'package.json': JSON.stringify({
      devDependencies: { electron: '1', 'electron-builder': '1' },
      build: { publish: { provider: 'github' } },
    }),
    'db/migrations/1_a.up.sql': 'CREATE TABLE a (b);',
    'app.sqlite': 'sqlite',
  });
  const { findings } = detect(folder);
  assert.deepEqual(findings, [
    { kind: 'unsupported', evidence: 'package.json: github', what: 'desktop updates from github' },
    {
      kind: 'database',
      surface: 'app',
      evidence: 'db/migrations/ (up-down), app.sqlite',
      provider: 'sqlite',
      file: 'app.sqlite',
      migrations: 'db/migrations',
      format: 'up-down',
      variable: null,
    },
  ]);
});

test('a link in the place of the configuration is not written through', (context) => {
  const folder = project(context, { 'package.json': '{}' });
  symlinkSync(join(folder, 'elsewhere.ts'), join(folder, 'unship.config.ts'));
  assert.throws(() => writeConfiguration(folder, 'export default 1;'), { slug: 'already-there' });
  assert.throws(() => statSync(join(folder, 'elsewhere.ts')));
});

test('in a folder of a larger repository, paths of commits begin at the repository', async (context) => {
  const files = Object.entries(vault).map(([path, text]) => [`apps/ink & paper/${path}`, text] as const);
  const repository = project(context, {
    '.git/HEAD': 'ref: refs/heads/main\n',
    ...Object.fromEntries(files),
  });
  const folder = join(repository, 'apps/ink & paper');
  assert.equal((await runProgram(folder, ['init'])).code, 0);
  const text = readFileSync(join(folder, 'unship.config.ts'), 'utf8');
  assert.match(text, /web: server\(\{ root: 'apps\/ink & paper', health/);
  assert.match(text, /root: 'apps\/ink & paper\/desktop', artifacts: 'desktop\/out'/);
  assert.match(text, /file: 'data\/vault\.db', migrations: 'apps\/ink & paper\/migrations'/);
});

test('the variable that names the database is found where the source reads it, if it is the only one', (context) => {
  const { '.env.example': _, ...files } = vault;
  const one = `new DatabaseSync(process.env.VAULT_DB ?? 'data/vault.db'); process.env.FEEDBACK; process.env.DB_URLS1`;
  const variableOf = (source: string): unknown =>
    detect(project(context, { ...files, 'src/store.ts': source })).findings.map((finding) =>
      finding.kind === 'database' ? finding.variable : '',
    );
  assert.deepEqual(variableOf(one.replace(' process.env.DB_URLS1', '')), ['', '', 'VAULT_DB']);
  assert.deepEqual(variableOf(`open(process.env['CACHE_DATABASE'])`), ['', '', 'CACHE_DATABASE']);
  assert.deepEqual(variableOf(`${one}; open(process.env.CACHE_DB)`), ['', '', null]);
});

test('migrations without a file are no foreign thing: init says what to write by hand', async (context) => {
  const { 'data/vault.db': _, ...files } = vault;
  const { code, stderr, stdout } = await runProgram(project(context, files), ['init']);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /migrations\/ \(dbmate migrations\) +no SQLite file yet$/m);
  assert.match(stdout, /^Next {6}make the database file, add it to the surfaces/m);
  assert.doesNotMatch(stderr, /not supported/);
});
