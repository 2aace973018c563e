import { UnshipError } from '../../domain/errors.ts';
import type { ReleaseId } from '../../domain/release.ts';
import { exchange, type OutgoingError } from '../../outgoing/client.ts';

export interface LiveAnswer {
  readonly status: number;
  /** The release that says it has answered; null when nobody says. */
  readonly release: string | null;
}

const withinMs = 10_000;

/** Asks an address as a visitor does, on a connection of its own. Redirects are an answer, not followed. */
export async function askLive(url: string, signal: AbortSignal): Promise<LiveAnswer> {
  try {
    const answer = await exchange({
      url: new URL(url),
      source: 'configured',
      headers: { connection: 'close' },
      signal,
      withinMs,
      bodyLimit: 0,
    });
    const release = answer.headers['x-unship-release'];
    answer.close();
    return { status: answer.status, release: typeof release === 'string' ? release : null };
  } catch (error) {
    throw signal.aborted ? (signal.reason as Error) : unanswered(url, error as OutgoingError);
  }
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

function unanswered(url: string, error: OutgoingError): UnshipError {
  const known = error.code === '' ? error.message : error.code;
  const reason = error.late ? `no answer within ${withinMs / 1000} s` : known;
  return new UnshipError('wrong-release-live', { happened: `GET ${url}: ${reason}`, cause: error });
}
