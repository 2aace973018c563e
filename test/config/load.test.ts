import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { recallConfiguration, rememberConfiguration } from '../../src/config/last-released.ts';
import { chooseEnvironment, findConfiguration, loadConfiguration } from '../../src/config/load.ts';
import { lineOf } from '../../src/config/locate.ts';
import { isUnshipError } from '../../src/domain/errors.ts';

function folderWith(context: TestContext, files: { readonly [path: string]: string }): string {
  const folder = mkdtempSync(join(tmpdir(), 'unship-config-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const web = { provider: 'server', kind: 'web', options: { switch: { gateway: { port: 8080 } } } };
const vault = { provider: 'sqlite', kind: 'database', options: { file: 'vault.db' } };
const json = (environments: object, more: object = {}): string =>
  JSON.stringify({ name: 'vault', environments, ...more }, null, 2);

/** What is told about a configuration that does not load. */
async function problems(context: TestContext, name: string, text: string): Promise<string> {
  const folder = folderWith(context, { [name]: text });
  try {
    await loadConfiguration(join(folder, name));
  } catch (error) {
    assert.ok(isUnshipError(error), String(error));
    assert.equal(error.slug, 'config-invalid');
    assert.equal(error.details.done, 'nothing');
    return error.details.happened.replaceAll(`${folder}/`, '');
  }
  return assert.fail('it loaded');
}

test('the nearest file upward, up to the top of the repository and not beyond', (context) => {
  const folder = folderWith(context, {
    'unship.config.json': '{}',
    'repository/.git/HEAD': '',
    'repository/apps/web/package.json': '{}',
    'other/unship.config.mjs': '',
  });
  assert.match(findConfiguration(join(folder, 'other')), /other\/unship\.config\.mjs$/);
  assert.throws(() => findConfiguration(join(folder, 'repository/apps/web')), { slug: 'config-missing' });
  writeFileSync(join(folder, 'repository/unship.config.ts'), '');
  assert.match(findConfiguration(join(folder, 'repository/apps/web')), /repository\/unship\.config\.ts$/);
  assert.match(findConfiguration(folder, 'other/unship.config.mjs'), /other\/unship\.config\.mjs$/);
  assert.throws(() => findConfiguration(folder, 'nothing.ts'), { slug: 'config-missing' });
});

test('a file that everybody can write to is code of everybody, and is not run', (context) => {
  const folder = folderWith(context, { 'unship.config.mjs': 'globalThis.ran = true;' });
  chmodSync(join(folder, 'unship.config.mjs'), 0o666);
  assert.throws(() => findConfiguration(folder), { slug: 'config-invalid' });
});

test('equal configurations have equal hashes, whatever they are written in', async (context) => {
  const folder = folderWith(context, {
    'a/unship.config.json': json({ production: { surfaces: { web } } }),
    'b/unship.config.mjs': `const options = { switch: { gateway: { port: 8000 + 80 } }, root: undefined };
      export default { environments: { production: { surfaces: { web: { options, kind: 'web', provider: 'server' } } } }, name: 'vault' };`,
  });
  const a = await loadConfiguration(join(folder, 'a/unship.config.json'));
  const b = await loadConfiguration(join(folder, 'b/unship.config.mjs'));
  assert.match(a.hash, /^[0-9a-f]{64}$/);
  assert.equal(a.hash, b.hash);
  assert.deepEqual(a.definition, b.definition);
  assert.equal(a.root, join(folder, 'a'));
});

test('every problem with its path and line', async (context) => {
  const text = json({
    production: {
      surfaces: { web: { ...web, options: { swich: {}, switch: { gateway: { prt: 1 } } } }, vault },
      checks: [{ http: 'health' }, { command: [] }],
      gard: {},
    },
  });
  const told = await problems(context, 'unship.config.json', text);
  const line = (needle: string): number => text.slice(0, text.indexOf(needle)).split('\n').length;
  const at = 'environments.production';
  assert.deepEqual(
    told.split('\n').sort(),
    [
      `unship.config.json:${line('"http"')}: ${at}.checks.0.http "health" is not right: write a path that starts with /`,
      `unship.config.json:${line('"command"')}: ${at}.checks.1.command [] is not right: write a program and its arguments`,
      `unship.config.json:${line('"gard"')}: ${at}.gard there is no such setting`,
      `unship.config.json:${line('"gateway"')}: ${at}.surfaces.web.switch.gateway.port is missing: a number`,
      `unship.config.json:${line('"prt"')}: ${at}.surfaces.web.switch.gateway.prt there is no such setting`,
      `unship.config.json:${line('"swich"')}: ${at}.surfaces.web.swich there is no such setting`,
    ].sort(),
  );
});

test('what is well formed and cannot be meant', async (context) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [json({}), /environments names no environment/],
    [json({ production: { surfaces: {} } }), /surfaces names no surface/],
    [json({ production: { surfaces: { unship: web } } }), /`unship` is the program itself/],
    [
      json({ production: { surfaces: { web, admin: web }, checks: [{ http: '/' }] } }),
      /say which surface is asked: web, admin/,
    ],
    [
      json({ production: { surfaces: { vault }, checks: [{ http: '/' }] } }),
      /there is no web surface to ask/,
    ],
    [
      json({ production: { surfaces: { web: { ...web, provider: 'heroku' } } } }),
      /there is no provider `heroku` here; there are server/,
    ],
    [json({ production: { surfaces: { web: { ...web, kind: 'database' } } } }), /server is of kind web/],
    [json({ 'a/b': { surfaces: { web } } }), /is no name/],
    [json({ production: { surfaces: { constructor: web } } }), /is no name/],
    [
      json({ production: { surfaces: { web } } }, { name: '../etc' }),
      /name "..\/etc" is not right: use letters/,
    ],
    ['[]', /the default export must be an object/],
    ['{', /unship\.config\.json/],
  ];
  for (const [text, expected] of cases)
    assert.match(await problems(context, 'unship.config.json', text), expected);
});

test('control 13: prototype pollution in a configuration changes nothing', async (context) => {
  for (const key of ['__proto__', 'constructor', 'prototype']) {
    const text = `{"name":"vault","environments":{"${key}":{"polluted":true,"surfaces":{}}},"${key}":{"polluted":true}}`;
    await problems(context, 'unship.config.json', text);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  }
});

test('a secret that was written down is refused without being printed', async (context) => {
  const notifications = {
    team: [{ provider: 'slack', options: { webhook: 'https://hooks.example.com/canary' } }],
  };
  const told = await problems(
    context,
    'unship.config.json',
    json({ production: { surfaces: { web }, notifications } }),
  );
  assert.match(told, /webhook must be secret\('NAME'\), never the value itself/);
  assert.doesNotMatch(told, /canary/);
});

test('only plain data: it is stored and hashed', async (context) => {
  const body = (value: string): string =>
    `export default { name: 'vault', environments: { production: { surfaces: { web: { provider: 'server', kind: 'web', options: { health: ${value} } } } } } };`;
  for (const value of ['() => "/"', 'new Date()', 'Symbol("x")', '10n', 'NaN', 'new Map()']) {
    assert.match(
      await problems(context, 'unship.config.mjs', body(value)),
      /health must be plain data/,
      value,
    );
  }
  assert.match(
    await problems(
      context,
      'unship.config.mjs',
      'const a = { name: "vault" }; a.environments = a; export default a;',
    ),
    /in a circle/,
  );
});

test('what goes wrong while it is evaluated, at its line', async (context) => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['unship.config.mjs', "\n\nthrow new Error('no PORT');", /^unship\.config\.mjs:3: no PORT$/],
    ['unship.config.mjs', '\nexport defalt {};', /^unship\.config\.mjs:2: SyntaxError/],
    [
      'unship.config.ts',
      '\nenum A { B }\nexport default {};',
      /^unship\.config\.ts:2: SyntaxError: TypeScript enum/,
    ],
    ['unship.config.mjs', "import 'unship/providers/nothing';", /there is no provider `nothing`/],
    ['unship.config.mjs', "import 'not-installed';", /Cannot find package 'not-installed'/],
    ['unship.config.mjs', 'export const a = 1;', /exports nothing by default/],
  ];
  for (const [name, text, expected] of cases) assert.match(await problems(context, name, text), expected);
});

test('the environment: the named one, the only one, or production', () => {
  const definition = (...names: string[]): Parameters<typeof chooseEnvironment>[0] => ({
    name: 'vault',
    environments: Object.fromEntries(names.map((name) => [name, { surfaces: {} }])),
  });
  assert.equal(chooseEnvironment(definition('staging'), undefined), 'staging');
  assert.equal(chooseEnvironment(definition('staging', 'production'), undefined), 'production');
  assert.equal(chooseEnvironment(definition('staging', 'production'), 'staging'), 'staging');
  assert.throws(() => chooseEnvironment(definition('staging', 'test'), undefined), {
    slug: 'config-invalid',
  });
  assert.throws(() => chooseEnvironment(definition('staging'), 'constructor'), { slug: 'config-invalid' });
});

test('a line is found by its path, not by the first word that looks alike', () => {
  const text = `export default {
  // switch: nothing
  name: 'switch: x',
  environments: {
    staging: { surfaces: { web: server({ switch: { gateway: { port: 1 } } }) } },
    production: {
      surfaces: {
        api: server({ health: '/', switch: { gateway: { port: 2 } } }),
        'web': server({
          switch: { gateway: {
            port: 3 } } }),
      },
    },
  },
}`;
  const surfaces = ['environments', 'production', 'surfaces'];
  assert.equal(lineOf(text, [...surfaces, 'web', 'options', 'switch', 'gateway', 'port']), 11);
  assert.equal(lineOf(text, [...surfaces, 'api', 'options', 'switch']), 8);
  assert.equal(lineOf(text, [...surfaces, 'web', 'options', 'health']), 9);
  assert.equal(lineOf(text, ['environments', 'staging', 'surfaces', 'web', 'switch']), 5);
  assert.equal(lineOf(text, ['nothing']), undefined);
});

test('the configuration of the last release is kept by the folder of the checkout', async (context) => {
  const folder = folderWith(context, { 'unship.config.json': json({ production: { surfaces: { web } } }) });
  const configuration = await loadConfiguration(join(folder, 'unship.config.json'));
  const base = join(folder, 'state');
  assert.equal(recallConfiguration(base, folder), undefined);
  rememberConfiguration(base, configuration, 1000);
  rememberConfiguration(base, configuration, 2000);
  const recalled = recallConfiguration(base, folder);
  assert.deepEqual(recalled?.definition, configuration.definition);
  assert.equal(recalled?.at, 2000);
  assert.equal(recallConfiguration(base, join(folder, 'other')), undefined);
});
