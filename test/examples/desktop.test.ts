import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type DownloadOptions, HttpExecutor } from 'builder-util-runtime';
import type { AppUpdater } from 'electron-updater';
import { example } from './vault.ts';

interface Update {
  readonly version: string | null;
  readonly notice: string | null;
}

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const { AppImageUpdater } = require('electron-updater/out/AppImageUpdater') as {
  AppImageUpdater: new (options: null, app: object) => AppUpdater & { httpExecutor: unknown };
};
const { watchForUpdates } = (await import(new URL('desktop/updates.js', `file://${example}/`).href)) as {
  watchForUpdates(
    updater: AppUpdater,
    tell: (update: Update) => void,
  ): { look(): Promise<void>; install(): Promise<boolean> };
};

/** electron-updater asks through Electron's network; here the same requests go through Node's. */
class NodeHttp extends HttpExecutor<ReturnType<typeof request>> {
  createRequest(options: object, callback: (response: IncomingMessage) => void): ReturnType<typeof request> {
    return request({ ...options, agent: false }, callback);
  }

  download(url: URL, destination: string, options: DownloadOptions): Promise<string> {
    return options.cancellationToken.createPromise<string>((resolve, reject, onCancel) => {
      const where = { protocol: url.protocol, hostname: url.hostname, port: url.port, path: url.pathname };
      const callback = (error?: Error | null) => (error ? reject(error) : resolve(destination));
      this.doDownload(where, { destination, options, onCancel, callback, responseHandler: null }, 0);
    });
  }
}

describe("the example's desktop application, with the real electron-updater", () => {
  let folder: string;
  const server = createServer((asked, response) => {
    const name = new URL(asked.url ?? '/', 'http://feed').pathname;
    readFile(join(folder, 'feed', name)).then(
      (content) => response.end(content),
      () => response.writeHead(404).end(),
    );
  });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'unship-desktop-'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const publish = (version: string) =>
    run(process.execPath, [join(example, 'desktop/make-stand-in.mjs'), version, join(folder, 'feed')]);

  async function client(version: string) {
    const home = await mkdtemp(join(folder, 'client-'));
    await writeFile(join(home, 'app-update.yml'), 'updaterCacheDirName: vault\n');
    const app = {
      version,
      name: 'vault',
      isPackaged: true,
      appUpdateConfigPath: join(home, 'app-update.yml'),
      userDataPath: home,
      baseCachePath: home,
      whenReady: () => Promise.resolve(),
      relaunch() {},
      quit() {},
      onQuit() {},
    };
    process.env.APPIMAGE = join(home, 'InnerScribeVault.AppImage');
    await writeFile(process.env.APPIMAGE, 'the installed one');
    const updater = new AppImageUpdater(null, app);
    updater.httpExecutor = new NodeHttp();
    updater.logger = null;
    updater.disableDifferentialDownload = true;
    updater.setFeedURL({
      provider: 'generic',
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
    let installed = 0;
    updater.quitAndInstall = () => {
      installed++;
    };
    const told: Update[] = [];
    const updates = watchForUpdates(updater, (update) => told.push(update));
    return { updates, updater, told, installs: () => installed };
  }

  test('stand-ins name their version, and making them again changes no byte', async () => {
    await publish('1.0.0');
    const name = join(folder, 'feed', 'InnerScribeVault-1.0.0.exe');
    const first = await readFile(name);
    assert.match(
      first.toString('latin1'),
      /^Stand-in for Inner Scribe Vault 1\.0\.0 \(Windows\): not a program\.\n/,
    );
    await publish('1.0.0');
    assert.ok(first.equals(await readFile(name)));
    await assert.rejects(publish('../1.0.0'), /usage/);
  });

  test('electron-updater takes feed and artifact, and the person is told once', async () => {
    await publish('1.1.0');
    const { updates, updater, told, installs } = await client('1.0.0');
    await updates.look();
    await updates.look();
    assert.deepEqual(told, [{ version: '1.1.0', notice: null }]);
    assert.equal(updater.autoInstallOnAppQuit, false);
    const pending = join(process.env.APPIMAGE as string, '../vault/pending/InnerScribeVault-1.1.0.AppImage');
    assert.equal(
      (await stat(pending)).size,
      (await stat(join(folder, 'feed/InnerScribeVault-1.1.0.AppImage'))).size,
    );
    assert.equal(await updates.install(), true);
    assert.equal(installs(), 1);
  });

  test('a release that is pulled after its download is not installed; the standby hotfix takes its place', async () => {
    await publish('1.1.0');
    const { updates, told, installs } = await client('1.0.0');
    await updates.look();
    await publish('1.0.0');
    assert.equal(await updates.install(), false);
    assert.equal(installs(), 0);
    assert.match(told.at(-1)?.notice ?? '', /1\.1\.0 was taken back/);

    await publish('1.1.1');
    await updates.look();
    assert.deepEqual(told.at(-1), { version: '1.1.1', notice: null });
    assert.equal(await updates.install(), true);
  });

  test('an artifact that is not what the feed says is not offered', async () => {
    await publish('1.2.0');
    await writeFile(join(folder, 'feed/InnerScribeVault-1.2.0.AppImage'), 'something else');
    const { updates, told, installs } = await client('1.1.1');
    await updates.look();
    assert.deepEqual(told, []);
    assert.equal(await updates.install(), false);
    assert.equal(installs(), 0);
  });
});
