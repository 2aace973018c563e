import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { assertMayBuild, type Build } from '../../src/builds/build.ts';
import { UnshipError } from '../../src/domain/errors.ts';
import type { Source } from '../../src/surfaces/source.port.ts';
import { buildIn, noEnclosure } from './enclosed.ts';

const enclosedOnly = { skip: noEnclosure };

/** Reads whatever it can reach: environments, and every file where people keep secrets. */
const hunter = `
import { readdirSync, readFileSync, lstatSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
const [marker, socket, ...places] = JSON.parse(readFileSync('hunt.json', 'utf8'));
const found = [];
const look = (path, depth) => {
  try {
    const seen = lstatSync(path);
    if (seen.isDirectory()) { if (depth > 0) for (const name of readdirSync(path)) look(join(path, name), depth - 1); }
    else if (seen.isFile() && seen.size < 1e6) { if (readFileSync(path, 'utf8').includes(marker)) found.push(path); }
  } catch {}
};
for (const name of readdirSync('/proc')) if (/^[0-9]+$/.test(name)) for (const file of ['environ', 'cmdline']) {
  try { if (readFileSync(join('/proc', name, file), 'latin1').includes(marker)) found.push(join('/proc', name, file)); } catch {}
}
for (const pid of ['1', 'self', String(process.ppid)]) for (const place of places) look(join('/proc', pid, 'root', place), 1);
for (const place of places) look(place, 1);
for (const place of ['/tmp', '/var/tmp', '/dev/shm', '/run', '/home', '/root', '/srv', '/mnt', '/var/lib']) look(place, 4);
await new Promise((resolve) => {
  connect(socket).once('connect', () => { found.push(socket); resolve(); }).once('error', resolve);
});
console.log(JSON.stringify(found));
process.exit(0);
`;

describe('builds', () => {
  const base = mkdtempSync(join(tmpdir(), 'unship-builds-'));
  const checkout = join(base, 'checkout');
  before(() => mkdirSync(checkout));
  after(() => rmSync(base, { recursive: true, force: true }));

  const build = (command: Build['command'], more: Partial<Build> = {}): ReturnType<typeof buildIn> =>
    buildIn(base, command, more);

  it('control 2: a build that hunts 25 canaries finds none', enclosedOnly, async () => {
    const marker = `canary-${randomBytes(8).toString('hex')}`;
    const tag = `.unship-canary-${randomBytes(4).toString('hex')}`;
    const home = homedir();
    const inHome = [
      '.ssh',
      '.aws',
      '.config/gh',
      '.docker',
      '.kube',
      '.gnupg',
      '.local/state/unship',
      '.cache',
    ];
    const files = [
      ...inHome.map((folder) => join(home, folder, tag)),
      ...['npmrc', 'netrc', 'git-credentials', 'bash_history', 'pgpass'].map((name) =>
        join(home, `${tag}.${name}`),
      ),
      ...['/tmp', '/var/tmp', '/dev/shm', '/run', '/var/lib'].map((folder) => join(folder, tag)),
      ...['.env', 'state/state.db', 'releases/r1/tree/.env', 'feed/key.pem'].map((name) => join(base, name)),
    ].filter((path) => canWrite(path, marker));
    const socket = join(base, 'agent.sock');
    const agent = createServer((client) => client.end()).listen(socket);
    await new Promise((resolve) => agent.once('listening', resolve));
    process.env.UNSHIP_CANARY = marker;
    // In the environment and arguments of the grandparent too: it is a process of its own.
    const { spawn } = await import('node:child_process');
    const other = spawn('sleep', ['60'], {
      env: { ...process.env, OTHER: marker },
      argv0: `sleep-${marker}`,
    });
    try {
      // Environments of this process, of another, its arguments, the agent's socket: with the files, 25.
      assert.ok(files.length + 4 >= 25, `${files.length + 4} canaries`);
      writeFileSync(join(checkout, 'hunter.mjs'), hunter);
      writeFileSync(
        join(checkout, 'hunt.json'),
        JSON.stringify(['x', socket])
          .replace('"x"', JSON.stringify(marker))
          .replace(']', `,${files.map((file) => JSON.stringify(dirname(file))).join(',')}]`),
      );
      const { failure, stdout } = await build(['node', 'hunter.mjs']);
      assert.equal(failure, null);
      // Its own instructions name the marker, so finding that file proves that it looked.
      const found = (JSON.parse(stdout) as string[]).filter((path) => !path.endsWith('hunt.json'));
      assert.deepEqual(found, []);
    } finally {
      delete process.env.UNSHIP_CANARY;
      other.kill('SIGKILL');
      agent.close();
      for (const file of [...files, ...made]) rmSync(file, { recursive: true, force: true });
    }
  });

  it(
    'control 2: an enclosed build works: an empty home, a temporary folder, its files, no way out',
    enclosedOnly,
    async () => {
      const commands =
        'ls -A "$HOME"; echo x > "$HOME/x"; echo y > /tmp/y; echo z > made; umount /usr 2>/dev/null || echo locked; echo no > /usr/no 2>/dev/null || echo read-only';
      for (const _ of [1, 2]) {
        const { failure, stdout } = await build(['sh', '-c', commands]);
        assert.deepEqual([failure, stdout], [null, 'locked\nread-only\n']);
      }
      assert.equal(readFileSync(join(checkout, 'made'), 'utf8'), 'z\n');
      assert.equal(existsSync(join(base, 'workshop')), false);
      assert.equal((await build(['sh', '-c', 'exit 7'])).failure, 'exit code 7');
    },
  );

  it('control 4: what left its process group and its session dies with the build', enclosedOnly, async () => {
    const beat = join(checkout, 'beat');
    const daemon = `setsid sh -c 'sh -c "while :; do date +%N > beat; sleep 0.05; done" &' & while [ ! -s beat ]; do sleep 0.05; done`;
    assert.equal((await build(['sh', '-c', daemon])).failure, null);
    const last = readFileSync(beat, 'utf8');
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(readFileSync(beat, 'utf8'), last);
    const { failure } = await build(['sh', '-c', `${daemon}; sleep 60`], { withinMs: 3_000 });
    assert.equal(failure, 'not done within 3 s');
    assert.deepEqual(runningWith(base), []);
  });

  it('control 4: a build ends when its processes together use more memory than they may', async () => {
    const hog = 'const kept = []; setInterval(() => kept.push(Buffer.alloc(2 ** 23, 1)), 20)';
    writeFileSync(join(checkout, 'hog.cjs'), hog);
    const both = 'node hog.cjs & node hog.cjs & wait';
    const { failure } = await build(['sh', '-c', both], { memory: 400 * 2 ** 20, withinMs: 300_000 });
    assert.equal(failure, 'it used more than 400 MiB of memory');
    assert.deepEqual(runningWith(base), []);
  });

  it('control 2: without namespaces only commits of protected branches are built', async () => {
    const [inside, outside, tip] = ['a', 'b', 'c'].map((digit) => digit.repeat(40)) as [
      string,
      string,
      string,
    ];
    const source = {
      resolve: async (ref: string) => {
        if (ref === 'refs/heads/main') return tip;
        throw new UnshipError('commit-gone', { happened: ref });
      },
      contains: async (_: string, ancestor: string) => ancestor === inside,
    } as unknown as Source;
    await assertMayBuild(source, inside, undefined, 'none here');
    await assertMayBuild(source, outside, undefined, null);
    for (const branches of [undefined, ['release']]) {
      await assert.rejects(assertMayBuild(source, outside, branches, 'none here'), (error: UnshipError) => {
        assert.equal(error.slug, 'build-not-enclosed');
        assert.match(error.details.happened, /none here.*bbbbbbb/);
        return true;
      });
    }
  });
});

/** Folders that were not there before. */
const made: string[] = [];

/** False where this user may not write: nobody could hide anything there either. */
function canWrite(path: string, content: string): boolean {
  try {
    const first = mkdirSync(dirname(path), { recursive: true });
    if (first !== undefined) made.push(first);
    writeFileSync(path, content);
    return true;
  } catch {
    return false;
  }
}

function runningWith(text: string): readonly string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}
