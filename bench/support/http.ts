import { request } from 'node:http';
import { until } from './processes.ts';

/** The release that answers there; empty when nothing answers, or it does not say. */
export function releaseAt(port: number, path = '/'): Promise<string> {
  return new Promise((resolve) => {
    const asking = request({ host: '127.0.0.1', port, path, agent: false, timeout: 1_000 });
    asking.on('response', (response) => {
      response.resume();
      response.on('close', () => resolve(String(response.headers['x-bench-release'] ?? '')));
    });
    asking.on('timeout', () => asking.destroy());
    asking.on('error', () => resolve(''));
    asking.end();
  });
}

export async function untilServed(port: number, release: 'good' | 'bad'): Promise<void> {
  let seen = 'nothing';
  await until(`${release} on port ${port}`, async () => {
    seen = await releaseAt(port);
    return seen === release;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; ${seen || 'nothing'} is there`);
  });
}
