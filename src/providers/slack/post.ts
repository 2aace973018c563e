import type { IncomingMessage } from 'node:http';

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

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= bodyLimit) break;
  }
  return Buffer.concat(chunks).subarray(0, bodyLimit).toString('utf8');
}

/** Posts JSON on a connection of its own; redirects are not followed. Rejects with `PostFailure` only. */
export async function postJson(
  url: URL,
  body: string,
  headers: { readonly [name: string]: string },
  signal: AbortSignal,
): Promise<PostReply> {
  // Loaded here: most commands tell nobody anything.
  const { request } = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
  let connected = false;
  let response: IncomingMessage | undefined;
  try {
    const answered = await new Promise<IncomingMessage>((resolve, reject) => {
      const post = request(
        url,
        {
          method: 'POST',
          agent: false,
          signal,
          headers: {
            'content-type': 'application/json; charset=utf-8',
            'content-length': Buffer.byteLength(body),
            'user-agent': 'unship',
            ...headers,
          },
        },
        resolve,
      );
      post.on('socket', (socket) => {
        socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
          connected = true;
        });
      });
      post.on('error', reject);
      post.end(body);
    });
    response = answered;
    const text = await readBody(answered);
    return { status: answered.statusCode ?? 0, retryAfter: answered.headers['retry-after'], body: text };
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    throw new PostFailure(!connected, typeof code === 'string' ? code : 'unknown error');
  } finally {
    response?.destroy();
  }
}
