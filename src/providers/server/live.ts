import type { IncomingMessage } from 'node:http';
import { UnshipError } from '../../domain/errors.ts';
import type { ReleaseId } from '../../domain/release.ts';

export interface LiveAnswer {
  readonly status: number;
  /** The release that says it has answered; null when nobody says. */
  readonly release: string | null;
}

const withinMs = 10_000;

/** Asks an address as a visitor does, on a connection of its own. Redirects are an answer, not followed. */
export async function askLive(url: string, signal: AbortSignal): Promise<LiveAnswer> {
  // Loaded here: it costs more than a whole switch, and only verifying needs it.
  const { request } = url.startsWith('https:') ? await import('node:https') : await import('node:http');
  return new Promise((resolve, reject) => {
    const ask = request(
      url,
      {
        agent: false,
        headers: { 'user-agent': 'unship', 'cache-control': 'no-cache', connection: 'close' },
        signal: AbortSignal.any([signal, AbortSignal.timeout(withinMs)]),
      },
      (answer: IncomingMessage) => {
        const release = answer.headers['x-unship-release'];
        answer.on('error', () => undefined);
        answer.resume();
        resolve({ status: answer.statusCode ?? 0, release: typeof release === 'string' ? release : null });
      },
    );
    ask.on('error', (error: NodeJS.ErrnoException) => {
      reject(signal.aborted ? (signal.reason as Error) : unanswered(url, error));
    });
    ask.end();
  });
}

/** Throws `wrong-release-live` on a server error. */
export function assertAnswers(url: string, { status }: LiveAnswer): void {
  if (status < 500) return;
  throw new UnshipError('wrong-release-live', {
    happened: `GET ${url}: ${status}`,
    done: 'the switch was made',
  });
}

export function wrongRelease(seen: string, wanted: ReleaseId): UnshipError {
  return new UnshipError('wrong-release-live', { happened: `${seen}, and it should be ${wanted}` });
}

function unanswered(url: string, error: NodeJS.ErrnoException): UnshipError {
  const late = error.name === 'AbortError' || error.name === 'TimeoutError';
  const reason = late ? `no answer within ${withinMs / 1000} s` : (error.code ?? error.message);
  return new UnshipError('wrong-release-live', { happened: `GET ${url}: ${reason}`, cause: error });
}
