/**
 * Stock electron-updater in plain Node: Electron itself is the only thing that is not real. Reads queries as
 * JSON from stdin, writes what each client saw to stdout.
 */
import { createHash } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { createRequire, registerHooks } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type { ClientQuery, ClientSight } from './electron-updater-client.ts';

interface Updater extends EventEmitter {
  httpExecutor: unknown;
  logger: unknown;
  allowDowngrade: boolean;
  autoDownload: boolean;
  autoInstallOnAppQuit: boolean;
  _testOnlyOptions: { readonly platform: string } | null;
  setFeedURL(url: string): void;
  checkForUpdates(): Promise<{
    readonly isUpdateAvailable: boolean;
    readonly updateInfo: { readonly version: string };
  } | null>;
  downloadUpdate(): Promise<readonly string[]>;
}

type UpdaterClass = new (options: null, app: object) => Updater;

const stub = 'stub:electron';
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'electron' ? { url: stub, shortCircuit: true } : next(specifier, context),
  load: (url, context, next) =>
    url === stub
      ? {
          format: 'commonjs',
          shortCircuit: true,
          source: `const { EventEmitter } = require('node:events');
            exports.app = {}; exports.session = {}; exports.net = {};
            exports.autoUpdater = Object.assign(new EventEmitter(), { setFeedURL() {}, checkForUpdates() {} });`,
        }
      : next(url, context),
});

const require = createRequire(import.meta.url);
interface DownloadOptions {
  readonly headers?: object | null;
  readonly cancellationToken: {
    createPromise<T>(
      work: (
        resolve: (value: T) => void,
        reject: (error: Error) => void,
        onCancel: (handler: () => void) => void,
      ) => void,
    ): Promise<T>;
  };
}

interface RuntimeHttp {
  readonly HttpExecutor: new () => {
    createRequest(options: object, callback: (response: unknown) => void): unknown;
    doDownload(request: object, options: object, redirects: number): void;
  };
  configureRequestUrl(url: URL, options: object): void;
  configureRequestOptions(options: object): void;
}

// The copy that electron-updater itself uses.
const requireAsUpdater = createRequire(require.resolve('electron-updater'));
const runtime = requireAsUpdater('builder-util-runtime') as RuntimeHttp;

/** As electron-updater's own executor, over Node's HTTP client instead of Electron's. */
class NodeHttpExecutor extends runtime.HttpExecutor {
  override createRequest(options: object, callback: (response: unknown) => void): unknown {
    return http.request(options as http.RequestOptions, callback);
  }

  async download(url: URL, destination: string, options: DownloadOptions): Promise<string> {
    return await options.cancellationToken.createPromise((resolve, reject, onCancel) => {
      const request = { headers: options.headers ?? undefined };
      runtime.configureRequestUrl(url, request);
      runtime.configureRequestOptions(request);
      const callback = (error?: Error | null): void => (error ? reject(error) : resolve(destination));
      this.doDownload(request, { destination, options, onCancel, callback, responseHandler: null }, 0);
    });
  }
}

const platforms = {
  linux: { platform: 'linux', updater: 'AppImageUpdater' },
  win: { platform: 'win32', updater: 'NsisUpdater' },
  mac: { platform: 'darwin', updater: 'MacUpdater' },
} as const;

function makeUpdater(query: ClientQuery, folder: string): Updater {
  const { platform, updater: name } = platforms[query.platform];
  const classes = require(`electron-updater/out/${name}`) as { readonly [name: string]: UpdaterClass };
  const updater = new (classes[name] as UpdaterClass)(null, {
    version: query.currentVersion,
    name: 'client',
    isPackaged: true,
    appUpdateConfigPath: join(folder, 'app-update.yml'),
    userDataPath: folder,
    baseCachePath: query.cacheFolder ?? folder,
    whenReady: () => Promise.resolve(),
    relaunch: () => {},
    quit: () => {},
    onQuit: () => {},
  });
  updater.logger = null;
  updater.httpExecutor = new NodeHttpExecutor();
  updater.autoDownload = false;
  updater.allowDowngrade = query.allowDowngrade ?? false;
  // What Squirrel would do with a finished download is Electron's part; the rest of a mac client is real.
  if (query.platform === 'mac') updater.autoInstallOnAppQuit = false;
  // The platform decides which feed is asked for; afterwards nothing is left of the test mode.
  updater._testOnlyOptions = { platform };
  updater.setFeedURL(query.feedUrl);
  updater._testOnlyOptions = null;
  updater.on('error', () => {});
  return updater;
}

async function look(query: ClientQuery): Promise<ClientSight> {
  const folder = await mkdtemp(join(tmpdir(), 'unship-client-'));
  try {
    process.env.APPIMAGE = join(folder, 'installed.AppImage');
    await writeFile(process.env.APPIMAGE, `installed ${query.currentVersion}`);
    await writeFile(join(folder, 'app-update.yml'), 'updaterCacheDirName: client-updater\n');
    const updater = makeUpdater(query, folder);
    const answer = await updater.checkForUpdates();
    if (answer?.isUpdateAvailable !== true) return { version: null };
    const { version } = answer.updateInfo;
    if (query.download === false) return { version };
    const [file] = await updater.downloadUpdate();
    const bytes = await readFile(file as string);
    return { version, downloadedSha512: createHash('sha512').update(bytes).digest('base64') };
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    return { version: null, error: `${code ?? 'ERROR'}: ${message.split('\n')[0]}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const sights: ClientSight[] = [];
for (const query of (await json(process.stdin)) as readonly ClientQuery[]) sights.push(await look(query));
process.stdout.write(JSON.stringify(sights), () => process.exit(0));
