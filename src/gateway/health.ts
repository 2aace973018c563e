import { request } from 'node:http';
import type { CheckResult } from './protocol.ts';

/** One look at a process's own health path. Never throws: not answering is a result. 200–399 passes. */
export function lookAtHealth(port: number, path: string, withinMs: number): Promise<CheckResult> {
  return new Promise((resolve) => {
    const asked = `GET ${path}`;
    const ask = request(
      {
        host: '127.0.0.1',
        port,
        path,
        agent: false,
        headers: { host: `127.0.0.1:${port}`, 'user-agent': 'unship-gateway', connection: 'close' },
        signal: AbortSignal.timeout(Math.max(1, Math.ceil(withinMs))),
      },
      (response) => {
        const status = response.statusCode ?? 0;
        resolve({ healthy: status >= 200 && status < 400, seen: `${asked}: ${status}` });
        response.on('error', () => undefined);
        response.resume();
      },
    );
    ask.on('error', (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === 'ECONNREFUSED'
          ? 'connection refused'
          : error.name === 'AbortError' || error.name === 'TimeoutError'
            ? `no answer within ${Math.round(withinMs)} ms`
            : (error.code ?? error.message);
      resolve({ healthy: false, seen: `${asked}: ${reason}` });
    });
    ask.end();
  });
}
