import { exchange, OutgoingError } from '../../outgoing/client.ts';

const bodyLimit = 64 * 1024;

/** A webhook's answer. `retryAfter` is the header as it came. */
export interface PostReply {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** At most 64 KiB of it. */
  readonly body: string;
}

/**
 * A post that got no answer. `certain` is true when it can't have arrived: no connection was made. `code` is
 * Node's name of the trouble; its message is left out, for it may hold the address, and the address is secret.
 */
export class PostFailure extends Error {
  readonly certain: boolean;
  readonly code: string;

  constructor(certain: boolean, code: string) {
    super(code);
    this.name = 'PostFailure';
    this.certain = certain;
    this.code = code;
  }
}

/** Posts JSON on a connection of its own; redirects are not followed. Rejects with `PostFailure` only. */
export async function postJson(
  url: URL,
  body: string,
  headers: { readonly [name: string]: string },
  { signal, withinMs }: { readonly signal: AbortSignal; readonly withinMs: number },
): Promise<PostReply> {
  try {
    const reply = await exchange({
      url,
      source: 'configured',
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
      body,
      signal,
      withinMs,
      bodyLimit,
    });
    const { text } = await reply.text();
    return { status: reply.status, retryAfter: reply.headers['retry-after'], body: text };
  } catch (error) {
    const certain = error instanceof OutgoingError && !error.connected;
    const code = error instanceof OutgoingError ? error.code : '';
    throw new PostFailure(certain, code === '' ? 'unknown error' : code);
  }
}
