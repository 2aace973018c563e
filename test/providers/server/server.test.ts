import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer as listenOn } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { UnshipError } from '../../../src/domain/errors.ts';
import type { ReleaseId } from '../../../src/domain/release.ts';
import { askGateway } from '../../../src/gateway/client.ts';
import { identityOf } from '../../../src/gateway/process-identity.ts';
import { disposeGateway } from '../../../src/providers/server/gateway-switch.ts';
import { createServer, type ServerInternals } from '../../../src/providers/server/index.ts';
import type { ServerOptions } from '../../../src/providers/server/options.ts';
import type { WebPort, WebTarget } from '../../../src/surfaces/web/web.port.ts';
import { ask, freePort, load, until } from '../../gateway/support.ts';
import { World, work } from './scenario.ts';

describe('server provider', () => {
  let world: World;
  let port: number;

  beforeEach(async () => {
    world = new World(['one', 'two', 'broken', 'endless', 'talkative', 'sick']);
    port = await freePort();
  });
  afterEach(async () => {
    await disposeGateway(join(world.state, 'gateway'));
    world.remove();
  });

  function make(more: Partial<ServerOptions> = {}, internals: ServerInternals = {}): WebPort {
    const options: ServerOptions = {
      build: ['node', 'build.mjs'],
      start: ['node', 'server.mjs'],
      health: '/health',
      drain: '1s',
      startWithin: '5s',
      switch: { gateway: { port } },
      ...more,
    };
    return createServer(options, world.environment(), internals);
  }

  async function bring(web: WebPort, release: ReleaseId, content: string, fence = 1): Promise<WebTarget> {
    const target = world.target(release, content);
    const staged = { ...target, artifact: await web.stage(work(fence), target) };
    await web.start(work(fence), staged);
    await web.switchTo(work(fence), staged);
    return staged;
  }

  const releases = (): string[] => {
    const folder = join(world.state, 'releases');
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  };

  it('works with nothing configured but the port: npm run build, npm start', async () => {
    const web = createServer({ switch: { gateway: { port } } }, world.environment());
    const first = await bring(web, 'r1', 'one');
    assert.equal((await ask(port, '/built')).body, 'one');
    await web.retire(work(1), await bring(web, 'r2', 'two').then(() => first), 'stop');
    assert.equal((await ask(port, '/built')).body, 'two');
  });

  it('clears away what a killed process was in the middle of writing, and nobody else’s', async () => {
    const left = [`measurements.json.${2 ** 22 + 1}.new`, `measurements.json.${process.ppid}.new`];
    for (const name of left) writeFileSync(join(world.state, name), '{');
    await bring(make(), 'r1', 'one');
    assert.deepEqual(
      readdirSync(world.state).filter((name) => name.endsWith('.new')),
      left.slice(1),
    );
  });

  it('releases and goes back under load without one failed request', async () => {
    const web = make();
    const first = await bring(web, 'r1', 'one');
    const running = load(port, '/', 8);
    await bring(web, 'r2', 'two');
    await web.verifyLive(work(1), { ...first, release: 'r2' });
    await web.start(work(2), first);
    await web.switchTo(work(2), first);
    await web.verifyLive(work(2), first);
    const { answers, failures } = await running.stop();
    assert.deepEqual(failures, []);
    assert.ok((answers.get('r1') ?? 0) > 0 && (answers.get('r2') ?? 0) > 0);
  });

  it('runs each program with an allow-listed environment', async () => {
    process.env.UNSHIP_TEST_CANARY = 'a secret of the operator';
    try {
      const web = make({ environment: { API: 'https://example.org' } });
      const { artifact } = await bring(web, 'r1', 'one');
      const folder = (artifact as { folder: string }).folder;
      const built = JSON.parse(world.read(`state/releases/${folder}/tree/environment.json`));
      const served = JSON.parse((await ask(port, '/environment')).body);
      for (const seen of [built, served]) {
        assert.equal(seen.UNSHIP_TEST_CANARY, undefined);
        assert.deepEqual(
          [seen.API, seen.UNSHIP_RELEASE, seen.NODE_ENV],
          ['https://example.org', 'r1', 'production'],
        );
      }
      assert.equal(built.HOME, join(world.state, 'home/r1/home'));
      assert.deepEqual([built.SITE_DB, served.SITE_DB], [undefined, '/live.db']);
      assert.equal(served.UNSHIP_COMMIT, world.commits.one);
    } finally {
      delete process.env.UNSHIP_TEST_CANARY;
    }
  });

  it('a failed build leaves nothing behind and shows the end of its log', async () => {
    const web = make();
    await assert.rejects(web.stage(work(1), world.target('r1', 'broken')), (error: UnshipError) => {
      assert.equal(error.slug, 'build-failed');
      assert.match(error.details.happened, /exit code 2[\s\S]*the build is broken/);
      return true;
    });
    assert.deepEqual(releases(), []);
    const [log] = readdirSync(join(world.state, 'logs'));
    assert.match(world.read(`state/logs/${log}`), /the build is broken/);
  });

  it('control 4: ends a build at its time limit and at its log limit, with the whole group', async () => {
    const web = make({ buildWithin: '1s' });
    await assert.rejects(web.stage(work(1), world.target('r1', 'endless')), /not done within 1 s/);
    await assert.rejects(make().stage(work(1), world.target('r2', 'talkative')), /more than 10 MB/);
    assert.deepEqual(releases(), []);
    assert.deepEqual(processesIn(world.base), []);
    const [first, second] = readdirSync(join(world.state, 'logs')).sort();
    assert.ok(statSync(join(world.state, 'logs', first ?? '')).size === 0);
    assert.ok(statSync(join(world.state, 'logs', second ?? '')).size <= 10 * 1024 * 1024);
  });

  it('ends a build when it is told to stop', async () => {
    const stop = new AbortController();
    const staging = make().stage(work(1, stop.signal), world.target('r1', 'endless'));
    await until('it builds', () => processesIn(world.base).length > 0);
    stop.abort(new Error('told to stop'));
    await assert.rejects(staging, /told to stop/);
    assert.deepEqual(processesIn(world.base), []);
    assert.deepEqual(releases(), []);
  });

  it('removes what killed attempts left, also of other releases, and builds anew', async () => {
    const web = make();
    const target = world.target('r1', 'one');
    const name = `r1-${target.commit.slice(0, 7)}`;
    for (const leftover of [
      `.staging-${name}-dead`,
      '.staging-r9-aaaaaaa-dead',
      '.removing-r8-bbbbbbb-dead',
      name,
    ]) {
      world.write(join('../state/releases', leftover, 'tree/half.txt'), 'half');
    }
    world.write('../state/home/r9/home/.npmrc', 'half');
    assert.equal((await web.observe(work(1), [])).live, null);
    await web.stage(work(1), target);
    assert.deepEqual(releases(), [name]);
    assert.equal(existsSync(join(world.state, 'releases', name, 'tree/half.txt')), false);
    assert.equal(existsSync(join(world.state, 'home/r9')), false);
  });

  it('ends what a killed process had begun to remove, asked again for that release or when it tidies up', async () => {
    const web = make();
    const gone = world.target('r1', 'one');
    const own = `.removing-r1-${gone.commit.slice(0, 7)}-dead`;
    const other = '.removing-r8-bbbbbbb-dead';
    for (const leftover of [own, other])
      world.write(join('../state/releases', leftover, 'tree/half.txt'), 'half');
    await web.unstage(work(1), gone);
    assert.deepEqual(releases(), [other]);
    assert.deepEqual(await web.prune(work(1), []), []);
    assert.deepEqual(releases(), []);
  });

  it('checks for disk space before it begins', async () => {
    const web = make({}, { freeBytes: () => Promise.resolve(10_000_000) });
    await assert.rejects(web.stage(work(1), world.target('r1', 'one')), (error: UnshipError) => {
      assert.equal(error.slug, 'disk-full');
      assert.match(error.details.happened, /9 MB are free.*needs 256 MB/);
      return true;
    });
    assert.deepEqual(releases(), []);
    assert.equal((await web.observe(work(1), [])).measurements.freeDiskBytes, 10_000_000);
  });

  it('names the port that another process has, and nothing is started', async () => {
    const other = listenOn().listen(port, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    try {
      await assert.rejects(bring(make(), 'r1', 'one'), (error: UnshipError) => {
        assert.equal(error.slug, 'port-taken');
        assert.match(error.message, new RegExp(String(port)));
        return true;
      });
      assert.deepEqual(processesIn(world.base), []);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it('finds an unhealthy target before anything is switched', async () => {
    const web = make({ startWithin: '3s' });
    await bring(web, 'r1', 'one');
    const target = world.target('r2', 'sick');
    const staged = { ...target, artifact: await web.stage(work(1), target) };
    await assert.rejects(web.start(work(1), staged), (error: UnshipError) => {
      assert.equal(error.slug, 'target-unhealthy');
      assert.match(error.message, /GET \/health: 500/);
      return true;
    });
    assert.equal((await ask(port, '/')).body, 'r1');
    const { releases: running } = await askGateway(join(world.state, 'gateway'), { command: 'status' });
    assert.deepEqual(Object.keys(running), ['r1']);
  });

  it('says how ready each release is, and what is gone', async () => {
    const web = make();
    const first = await bring(web, 'r1', 'one');
    const second = await bring(web, 'r2', 'two');
    const third = world.target('r3', 'sick');
    const gone = { ...world.target('r4', 'never'), commit: 'e'.repeat(40) };
    const adopted = { release: 'r5', commit: '', artifact: null } as const;
    await web.retire(work(1), first, 'stop');
    const facts = await web.observe(work(1), [gone, third, second, first, adopted].map(asRelease));
    assert.deepEqual(
      Object.entries(facts.releases).map(([release, { readiness }]) => `${release} ${readiness}`),
      ['r4 gone', 'r3 rebuildable', 'r2 warm', 'r1 on-disk', 'r5 gone'],
    );
    assert.match(facts.releases.r4?.reason ?? '', /commit eeeeeee is not in the repository/);
    assert.ok(facts.measurements.startMs > 0 && facts.measurements.buildMs > 0);
  });

  it('killed, the gateway is started again by the next step and serves the same release', async () => {
    const web = make();
    const first = await bring(web, 'r1', 'one');
    await bring(web, 'r2', 'two');
    const { pid, releases: before } = await askGateway(join(world.state, 'gateway'), { command: 'status' });
    process.kill(pid, 'SIGKILL');
    await until('it is dead', () => identityOf(pid) === null);
    assert.equal((await web.observe(work(1), [])).live, null, 'nobody can tell');
    await web.start(work(2), first);
    assert.equal((await ask(port, '/')).body, 'r2');
    const { releases: after } = await askGateway(join(world.state, 'gateway'), { command: 'status' });
    assert.equal(after.r1?.pid, before.r1?.pid, 'no healthy process was restarted');
    await web.switchTo(work(2), first);
    assert.equal((await ask(port, '/')).body, 'r1');
  });

  it('puts the previous release to rest and wakes it again', async () => {
    const web = make({ previous: { standby: 'SIGCONT', wake: 'SIGCONT' } });
    const first = await bring(web, 'r1', 'one');
    await bring(web, 'r2', 'two');
    await web.retire(work(1), first, 'keep-warm');
    const phase = async () =>
      (await askGateway(join(world.state, 'gateway'), { command: 'status' })).releases.r1?.phase;
    assert.equal(await phase(), 'standby');
    await web.start(work(2), first);
    assert.equal(await phase(), 'running');
  });

  it('stops the previous release when that is configured', async () => {
    const web = make({ previous: 'stop' });
    const first = await bring(web, 'r1', 'one');
    await bring(web, 'r2', 'two');
    await web.retire(work(1), first, 'keep-warm');
    const { releases: running } = await askGateway(join(world.state, 'gateway'), { command: 'status' });
    assert.deepEqual(Object.keys(running), ['r2']);
  });

  it('refuses to take away what serves', async () => {
    const web = make();
    const first = await bring(web, 'r1', 'one');
    await assert.rejects(web.retire(work(1), first, 'stop'), slug('still-serving'));
    assert.equal((await ask(port, '/')).body, 'r1');
  });

  it('reuses installed dependencies of an equal lockfile as files of its own', async () => {
    world.write('package-lock.json', '{"lockfileVersion":3}');
    const [first, second] = [world.commit('three'), world.commit('four')];
    world.write('package-lock.json', '{"lockfileVersion":3,"changed":true}');
    const third = world.commit('five');
    // Stands in for npm on the PATH: says that it ran, and makes a package.
    const bin = join(world.base, 'bin');
    world.write(
      '../bin/npm',
      '#!/bin/sh\necho "npm $*"\nmkdir -p node_modules/a && echo original > node_modules/a/index.js\n',
    );
    execFileSync('chmod', ['755', join(bin, 'npm')]);
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path}`;
    try {
      const web = make();
      const stage = async (release: ReleaseId, commit: string): Promise<string> => {
        await web.stage(work(1), { release, commit, artifact: null });
        return `${release}-${commit.slice(0, 7)}`;
      };
      const [one, two, three] = [
        await stage('r1', first),
        await stage('r2', second),
        await stage('r3', third),
      ];
      const log = (name: string): string => {
        const file = join(world.state, 'logs', `build-${name}.log`);
        return existsSync(file) ? readFileSync(file, 'utf8') : '';
      };
      assert.match(log(one), /npm ci/);
      assert.doesNotMatch(log(two), /npm/);
      assert.match(log(three), /npm ci/);
      const installed = (name: string): string =>
        join(world.state, 'releases', name, 'tree/node_modules/a/index.js');
      writeFileSync(installed(two), 'changed in place');
      assert.equal(readFileSync(installed(one), 'utf8'), 'original\n');
    } finally {
      process.env.PATH = path;
    }
  });

  it('keeps a surface in a folder of its own inside a monorepo', async () => {
    for (const name of ['server.mjs', 'build.mjs', 'package.json']) {
      world.write(`apps/web/${name}`, readFileSync(join(world.root, name), 'utf8'));
    }
    world.write('apps/web/content.txt', 'inner');
    const commit = world.commit('outer');
    const web = make({ root: 'apps/web' });
    const target = { release: 'r1', commit, artifact: null } as const;
    const staged = { ...target, artifact: await web.stage(work(1), target) };
    await web.start(work(1), staged);
    await web.switchTo(work(1), staged);
    assert.equal((await ask(port, '/built')).body, 'inner');
    await assert.rejects(
      make({ root: 'nowhere' }).stage(work(1), world.target('r2', 'one')),
      slug('build-failed'),
    );
    assert.throws(() => make({ root: '../elsewhere' }), slug('config-invalid'));
  });

  it('a symbolic link is flipped in one moment and never taken over from a real folder', async () => {
    const web = make({ switch: { symlink: '../www', folder: 'public' } });
    await bring(web, 'r1', 'one');
    const page = join(world.base, 'www/index.html');
    // As another user's web server would read it.
    assert.equal(statSync(page).mode & 0o044, 0o044);
    assert.equal(statSync(join(world.base, 'www.releases')).mode & 0o055, 0o055);
    let looking = true;
    const looks = (async () => {
      const seen = new Set<string>();
      while (looking) {
        seen.add(readFileSync(page, 'utf8'));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return seen;
    })();
    await bring(web, 'r2', 'two');
    looking = false;
    for (const content of await looks) assert.match(content, /^r[12]$/);
    const blocked = make({ switch: { symlink: '../taken' } });
    world.write('../taken/index.html', 'by hand');
    await assert.rejects(bring(blocked, 'r3', 'one'), slug('config-invalid'));
    assert.equal(world.read('taken/index.html'), 'by hand');
    symlinkSync('/nonexistent', join(world.base, 'dangling'));
    assert.equal((await make({ switch: { symlink: '../dangling' } }).observe(work(1), [])).live, null);
  });

  it('commands that fail are an error that says so', async () => {
    const web = make({ switch: { commands: { activate: ['false'], live: ['true'] } } });
    await assert.rejects(bring(web, 'r1', 'one'), (error: UnshipError) => {
      assert.equal(error.slug, 'command-failed');
      assert.match(error.details.happened, /the activate command failed: exit code 1/);
      return true;
    });
  });

  it('a rehearsal ends with the process that rehearses, even killed', async () => {
    const script = join(world.base, 'rehearse.ts');
    const here = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
    const target = world.target('r1', 'one');
    await make().stage(work(1), target);
    const folder = join(world.base, 'rehearsal');
    writeFileSync(
      script,
      `import { createServer } from ${here('../../../src/providers/server/index.ts')};
       import { createSource } from ${here('../../../src/providers/git/index.ts')};
       import { testRuntime, work } from ${here('./scenario.ts')};
       const web = createServer(
         { start: ['node', 'server.mjs'], health: '/health', switch: { gateway: { port: 1 } } },
         { surface: 'web', folder: ${JSON.stringify(world.state)}, root: ${JSON.stringify(world.root)},
           source: createSource(${JSON.stringify(world.root)}), runtime: testRuntime, processEnvironment: {} } as never,
       );
       const { port } = await web.rehearsal(${JSON.stringify(folder)}, {});
       await port.start(work(1), ${JSON.stringify(target)} as never);
       process.kill(process.pid, 'SIGKILL');`,
    );
    assert.throws(() => execFileSync(process.execPath, [script], { stdio: 'pipe' }));
    const { pid, releases: running } = await askGateway(join(folder, 'gateway'), { command: 'status' });
    const app = running.r1?.pid ?? 0;
    assert.ok(identityOf(app) !== null);
    await until('everything of it has ended', () => identityOf(app) === null && identityOf(pid) === null);
  });

  it('switches to a warm release with neither HTTP nor a child process', async () => {
    const web = make();
    const first = await bring(web, 'r1', 'one');
    await bring(web, 'r2', 'two');
    const script = join(world.base, 'warm.ts');
    const here = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
    writeFileSync(
      script,
      `import { createServer } from ${here('../../../src/providers/server/index.ts')};
       import { createSource } from ${here('../../../src/providers/git/index.ts')};
       import { testRuntime, work } from ${here('./scenario.ts')};
       import { ChildProcess } from 'node:child_process';
       ChildProcess.prototype.spawn = () => { throw new Error('a child process'); };
       const web = createServer(
         { start: ['node', 'server.mjs'], health: '/health', switch: { gateway: { port: ${port} } } },
         { surface: 'web', folder: ${JSON.stringify(world.state)}, root: ${JSON.stringify(world.root)},
           source: createSource(${JSON.stringify(world.root)}), runtime: testRuntime,
           processEnvironment: { SITE_DB: '/live.db' } } as never,
       );
       const began = performance.now();
       const target = ${JSON.stringify(first)} as never;
       const facts = await web.observe(work(2), ${JSON.stringify([asRelease(first)])} as never);
       await web.start(work(2), target);
       await web.switchTo(work(2), target);
       console.log(JSON.stringify({
         ms: performance.now() - began,
         readiness: facts.releases.r1.readiness,
         http: process.moduleLoadList.includes('NativeModule http'),
       }));`,
    );
    const said = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' }));
    assert.equal((await ask(port, '/')).body, 'r1');
    assert.deepEqual([said.readiness, said.http], ['warm', false]);
    assert.ok(said.ms < 1_000, `${said.ms} ms`);
  });
});

function asRelease({ release, commit, artifact }: WebTarget) {
  return {
    id: release,
    createdAt: 0,
    createdBy: 'test',
    commit,
    deployment: 'superseded' as const,
    health: 'good' as const,
    surfaces: { web: { kind: 'web' as const, commit, artifact, label: release, since: release } },
    configurationHash: '',
  };
}

/** Command lines of living processes that work in a folder. */
function processesIn(folder: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const cwd = readlinkSync(`/proc/${pid}/cwd`);
      if (cwd.startsWith(folder)) found.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

function slug(wanted: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UnshipError, String(error));
    assert.equal(error.slug, wanted, error.message);
    return true;
  };
}
