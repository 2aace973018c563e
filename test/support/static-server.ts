import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface StaticServer {
  /** Ends with a slash. */
  readonly url: string;
  /** Paths asked for, oldest first. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/**
 * Serves a folder as any static host does: one plain file a path, 404 for the rest. It reads only what others
 * may read (0004), as a web server under its own account.
 */
export async function startStaticServer(folder: string): Promise<StaticServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    requests.push(pathname);
    const path = join(folder, decodeURIComponent(pathname));
    void (async () => {
      const found = await stat(path).catch(() => null);
      const readable = found?.isFile() === true && (found.mode & 0o004) !== 0 && path.startsWith(folder);
      if (!readable) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { 'content-length': found.size, 'cache-control': 'no-cache' });
      createReadStream(path)
        .on('error', () => response.destroy())
        .pipe(response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
