import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildIn, noEnclosure } from './enclosed.ts';

const somebody = 65534;

interface Ended {
  readonly failure: string | null;
  readonly tail: string;
  readonly stdout: string;
  readonly why: string | null;
  readonly user: number;
}

/** Only root can become somebody else, who must be able to read what runs here. */
function whyNotSomebody(): string | false {
  if (process.getuid?.() !== 0) return 'only root can start a process of another user';
  const tried = spawnSync(process.execPath, ['-e', ''], { uid: somebody, gid: somebody, cwd: '/' });
  return tried.status === 0 ? false : 'another user can not run the Node of this checkout';
}

/** A folder with a checkout whose lockfile names one package, which a server on loopback gives out. */
async function given(context: TestContext, parent: string): Promise<{ base: string; registry: string }> {
  const base = mkdtempSync(join(parent, 'unship-any-user-'));
  context.after(() => rmSync(base, { recursive: true, force: true }));
  chmodSync(base, 0o755);
  mkdirSync(join(base, 'package'));
  writeFileSync(join(base, 'package/package.json'), '{"name":"small","version":"1.0.0"}');
  writeFileSync(join(base, 'package/index.js'), 'module.exports = "from the network";\n');
  execFileSync('tar', ['czf', join(base, 'small.tgz'), '-C', base, 'package']);
  const archive = readFileSync(join(base, 'small.tgz'));
  const server = createServer((_, response) => response.end(archive)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  context.after(() => server.close());
  const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;
  const packages = {
    '': { name: 'app', version: '1.0.0', dependencies: { small: '1.0.0' } },
    'node_modules/small': { version: '1.0.0', resolved: `${registry}small/-/small-1.0.0.tgz`, integrity },
  };
  mkdirSync(join(base, 'checkout'));
  const write = (name: string, content: object): void =>
    writeFileSync(join(base, 'checkout', name), JSON.stringify(content));
  write('package.json', packages['']);
  write('package-lock.json', { name: 'app', version: '1.0.0', lockfileVersion: 3, packages });
  return { base, registry };
}

async function build(
  { base, registry }: { base: string; registry: string },
  command: readonly string[],
  other: { uid?: number; gid?: number } = {},
): Promise<Ended> {
  // Copied, since another user may not be able to read this checkout.
  const source = fileURLToPath(new URL('../../src', import.meta.url));
  const program = join(base, 'program/test/builds/build-process.ts');
  if (!existsSync(program)) {
    cpSync(source, join(base, 'program/src'), { recursive: true });
    mkdirSync(dirname(program), { recursive: true });
    for (const name of ['build-process.ts', 'enclosed.ts']) {
      cpSync(fileURLToPath(new URL(name, import.meta.url)), join(dirname(program), name));
    }
    writeFileSync(join(base, 'program/package.json'), '{"type":"module"}');
  }
  const child = spawn(process.execPath, [program, base, registry, ...command], {
    ...other,
    cwd: base,
    env: { PATH: process.env.PATH, HOME: base, TMPDIR: base },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as Ended;
}

const installed = ['sh', '-c', 'npm ci --no-audit --no-fund && node -p "require(\'small\')"'];

describe('builds of any user', () => {
  it('control 2: an enclosed build installs packages over the network', {
    skip: noEnclosure,
  }, async (context) => {
    const ended = await build(await given(context, tmpdir()), installed);
    assert.deepEqual([ended.failure, ended.why], [null, null], ended.tail);
    assert.match(ended.stdout, /from the network/);
  });

  for (const parent of ['/tmp', '/var/tmp', '/dev/shm']) {
    it(`control 2: an ordinary user's builds are enclosed too, with everything under ${parent}`, {
      skip: noEnclosure || whyNotSomebody() || (existsSync(parent) ? false : `there is no ${parent}`),
    }, async (context) => {
      const world = await given(context, parent);
      const secret = join(world.base, 'secret');
      writeFileSync(secret, 'canary');
      for (const path of [world.base, secret, join(world.base, 'checkout')])
        chownSync(path, somebody, somebody);
      const ended = await build(world, [...installed.slice(0, 2), `${installed[2]}; cat ${secret}; id -u`], {
        uid: somebody,
        gid: somebody,
      });
      assert.deepEqual([ended.failure, ended.why, ended.user], [null, null, somebody], ended.tail);
      assert.match(ended.stdout, /from the network\n65534\n$/);
      assert.match(ended.tail, /secret: No such file/);
      // Places in the build's own /tmp are made in there, never outside.
      assert.equal(existsSync(join('/tmp', basename(world.base))), parent === '/tmp');
      assert.equal(existsSync(join(world.base, 'workshop')), false);
    });
  }

  it('control 2: a certificate that its own variable names is there, also where its folder is shown already', {
    skip: noEnclosure,
  }, async (context) => {
    const world = await given(context, tmpdir());
    const shown = readdirSync('/etc/ssl/certs').find(
      (name) => name.endsWith('.crt') || name.endsWith('.pem'),
    );
    const own = join(world.base, 'company.pem');
    writeFileSync(own, 'a certificate');
    for (const file of [own, `/etc/ssl/certs/${shown}`, '/nowhere/gone.pem']) {
      const before = process.env.SSL_CERT_FILE;
      process.env.SSL_CERT_FILE = file;
      try {
        const ended = await buildIn(world.base, [
          'sh',
          '-c',
          '[ ! -e "$SSL_CERT_FILE" ] || head -c 1 "$SSL_CERT_FILE"; echo "$SSL_CERT_FILE"',
        ]);
        const first = existsSync(file) ? readFileSync(file, 'utf8').slice(0, 1) : '';
        assert.deepEqual([ended.failure, ended.stdout], [null, `${first}${file}\n`], ended.tail);
      } finally {
        if (before === undefined) delete process.env.SSL_CERT_FILE;
        else process.env.SSL_CERT_FILE = before;
      }
    }
  });
});
