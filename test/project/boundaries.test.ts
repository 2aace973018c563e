import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../scripts/boundaries.ts', import.meta.url));

/** Checks a tree of its own with the project's rules. */
function check(files: { readonly [path: string]: string }): { code: number | null; output: string } {
  const root = mkdtempSync(join(tmpdir(), 'unship-boundaries-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const ended = spawnSync(process.execPath, [script, root], { encoding: 'utf8' });
    return { code: ended.status, output: `${ended.stdout}${ended.stderr}` };
  } finally {
    rmSync(root, { recursive: true });
  }
}

const domain = {
  'src/domain/words.ts': "export const word = 'x';\nexport interface Word { readonly a: 1 }\n",
};

test('what the rules allow passes', () => {
  const { code, output } = check({
    ...domain,
    'src/guard/check.port.ts': "import type { Word } from '../domain/words.ts';\nexport type Check = Word;\n",
    'src/guard/guard.ts':
      "import type { Check } from './check.port.ts';\nexport const a: Check = { a: 1 };\n",
    'src/providers/one/index.ts':
      "import { readFileSync } from 'node:fs';\nimport type { Check } from '../../guard/check.port.ts';\nexport const read = readFileSync;\nexport type A = Check;\n",
    'src/app.ts': "export const open = () => import('./providers/one/index.ts');\n",
  });
  assert.equal(code, 0, output);
  assert.match(output, /^5 modules, 5 imports, 0 violations$/m);
});

const forbidden: readonly {
  readonly what: string;
  readonly files: { readonly [path: string]: string };
  readonly found: string;
}[] = [
  {
    what: 'the domain imports Node',
    files: { 'src/domain/time.ts': "import { hrtime } from 'node:process';\nexport const t = hrtime;\n" },
    found: 'src/domain/time.ts may not import process',
  },
  {
    what: 'only a type crosses the line',
    files: {
      'src/guard/guard.ts': 'export interface Guard { readonly b: 1 }\n',
      'src/domain/leak.ts': "import type { Guard } from '../guard/guard.ts';\nexport type Leak = Guard;\n",
    },
    found: 'src/domain/leak.ts may not import src/guard/guard.ts',
  },
  {
    what: 'the engine knows a provider, though lazily',
    files: {
      'src/providers/one/index.ts': 'export const one = 1;\n',
      'src/engine/run.ts': "export const run = () => import('../providers/one/index.ts');\n",
    },
    found: 'src/engine/run.ts may not import src/providers/one/index.ts',
  },
  {
    what: 'a provider knows another',
    files: { 'src/providers/two/index.ts': "export { one } from '../one/index.ts';\n" },
    found: 'src/providers/two/index.ts may not import src/providers/one/index.ts',
  },
  {
    what: 'the composition root knows the command line',
    files: {
      'src/cli/main.ts': 'export const main = 1;\n',
      'src/app/parts.ts': "export { main } from '../cli/main.ts';\n",
    },
    found: 'src/app/parts.ts may not import src/cli/main.ts',
  },
  {
    what: 'a folder that no rule names',
    files: { 'src/utils/all.ts': "export { word } from '../domain/words.ts';\n" },
    found: 'src/utils/all.ts may not import src/domain/words.ts',
  },
  {
    what: 'a circle that is loaded together',
    files: {
      'src/store/a.ts': "import { b } from './b.ts';\nexport const a = () => b;\n",
      'src/store/b.ts': "import { a } from './a.ts';\nexport const b = () => a;\n",
    },
    found: 'src/store/a.ts (no-circles) src/store/b.ts',
  },
  {
    what: 'a package that is not named for its folder',
    files: { 'src/engine/shape.ts': "import { z } from 'zod';\nexport const shape = z;\n" },
    found: 'src/engine/shape.ts may not import zod',
  },
  {
    what: 'somebody asks over HTTP on his own',
    files: { 'src/providers/two/ask.ts': "export const ask = () => import('node:https');\n" },
    found: 'src/providers/two/ask.ts (one-client) https',
  },
  {
    what: 'a file that is not there',
    files: { 'src/domain/a.ts': "export * from './gone.ts';\n" },
    found: 'src/domain/a.ts (resolvable) ./gone.ts',
  },
];

test('what the rules forbid fails, each by its own line', async (context) => {
  const files = Object.assign({}, domain, ...forbidden.map((entry) => entry.files));
  const { code, output } = check(files);
  assert.equal(code, 1, output);
  for (const { what, found } of forbidden) {
    await context.test(what, () => assert.ok(output.includes(`FAIL  ${found}`), output));
  }
});

test('a circle of types, or one that is closed lazily, is none', () => {
  const { code, output } = check({
    'src/store/a.ts': "import { b } from './b.ts';\nexport const a = () => b;\nexport type A = typeof a;\n",
    'src/store/b.ts': "import type { A } from './a.ts';\nexport const b = (a: A) => a;\n",
    'src/store/c.ts': "import { d } from './d.ts';\nexport const c = () => d;\n",
    'src/store/d.ts': "export const d = () => import('./c.ts');\n",
  });
  assert.equal(code, 0, output);
});

test('reading nothing is a failure, not a pass', () => {
  assert.equal(check({ 'src/readme.txt': 'no code' }).code, 1);
  const alone = check(domain);
  assert.equal(alone.code, 1);
  assert.match(alone.output, /nothing was read/);
});
