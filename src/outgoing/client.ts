import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { LookupFunction } from 'node:net';
import { messageOf } from '../domain/errors.ts';

/** `configured`: the operator wrote it, it may be private. `foreign`: somebody else did, it must be public. */
export type UrlSource = 'configured' | 'foreign';

export interface OutgoingRequest {
  readonly url: URL;
  readonly source: UrlSource;
  /** Default GET. With a body redirects are not followed. */
  readonly method?: 'GET' | 'POST';
  readonly headers?: { readonly [name: string]: string };
  /** Tokens: they are sent to the origin of `url` alone, wherever it redirects. */
  readonly secretHeaders?: { readonly [name: string]: string };
  readonly body?: string;
  readonly signal: AbortSignal;
  /** In ms, for the whole exchange, the reading of the body included. */
  readonly withinMs: number;
  /** In ms, until the head of the answer is there. Default `withinMs`. */
  readonly answerWithinMs?: number;
  /** Bytes; a body beyond it is not read. */
  readonly bodyLimit: number;
  /** Default false: a redirect is an answer like any other. */
  readonly followRedirects?: boolean;
  /** How names are resolved. Default: as the system does. */
  readonly resolve?: LookupFunction;
}

export interface OutgoingReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Where it came from in the end. */
  readonly url: URL;
  /** Throws `OutgoingError` beyond the limit. */
  readonly body: AsyncIterable<Buffer>;
  /** As much as the limit allows; `cut` when there was more. */
  text(): Promise<{ readonly text: string; readonly cut: boolean }>;
  /** Ends the connection. Whoever reads no body calls it. */
  close(): void;
}

/** No answer, or one that must not be read on. `code` is Node's name of the trouble, or one of ours. */
export class OutgoingError extends Error {
  readonly code: string;
  /** False when nothing can have been sent: no connection was made. */
  readonly connected: boolean;
  /** Its time was over. */
  readonly late: boolean;

  constructor(text: string, about: { code: string; connected: boolean; late?: boolean; cause?: unknown }) {
    super(text, { cause: about.cause });
    this.name = 'OutgoingError';
    this.code = about.code;
    this.connected = about.connected;
    this.late = about.late ?? false;
  }
}

const mostRedirects = 3;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Whoever asked for the wrong thing is told without the address: it may be the secret. */
function refusal(text: string, code: string): OutgoingError {
  return new OutgoingError(text, { code, connected: false });
}

/**
 * The one way out over HTTP: a connection of its own for each request, addresses judged by who wrote them, limits
 * on time and bytes. Rejects with `OutgoingError` only.
 */
export async function exchange(request: OutgoingRequest): Promise<OutgoingReply> {
  const limit = AbortSignal.timeout(request.withinMs);
  const signal = AbortSignal.any([request.signal, limit]);
  let { url, source } = request;
  for (let hop = 0; ; hop += 1) {
    const sent = await send(request, url, source, signal, limit);
    const { response } = sent;
    const follows = request.followRedirects === true && request.body === undefined;
    if (!follows || !redirects.has(response.statusCode ?? 0)) return replyOf(request, url, sent, limit);
    response.destroy();
    if (hop === mostRedirects) {
      throw refusal(`it redirects more than ${mostRedirects} times`, 'ETOOMANYREDIRECTS');
    }
    ({ url, source } = redirected(request, url, response.headers.location));
  }
}

/** An origin other than the first must be public and encrypted; what it says of credentials is not taken over. */
function redirected(
  request: OutgoingRequest,
  from: URL,
  location: string | undefined,
): { readonly url: URL; readonly source: UrlSource } {
  const url = location === undefined ? null : URL.parse(location, from.href);
  if (url !== null && url.origin === request.url.origin) return { url, source: request.source };
  if (url?.protocol !== 'https:') {
    throw refusal(`it redirects to ${url?.origin ?? 'nowhere'}`, 'EREDIRECTREFUSED');
  }
  url.username = '';
  url.password = '';
  return { url, source: 'foreign' };
}

interface Sent {
  readonly response: IncomingMessage;
}

async function lookupFor(
  { resolve }: OutgoingRequest,
  url: URL,
  source: UrlSource,
): Promise<{ readonly lookup?: LookupFunction }> {
  if (source === 'configured') return resolve === undefined ? {} : { lookup: resolve };
  // Loaded here: nothing that a rollback waits for asks a foreign address.
  const { isPrivateLiteral, publicLookup } = await import('./addresses.ts');
  if (isPrivateLiteral(url)) throw refusal(`${url.hostname} is not a public address`, 'EADDRREFUSED');
  return { lookup: publicLookup(resolve) };
}

async function send(
  request: OutgoingRequest,
  url: URL,
  source: UrlSource,
  signal: AbortSignal,
  limit: AbortSignal,
): Promise<Sent> {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw refusal(`${url.protocol} is not asked`, 'EPROTOCOLREFUSED');
  }
  const lookup = await lookupFor(request, url, source);
  // Loaded here: it costs a third of the program's start.
  const { request: open } = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
  const answer = new AbortController();
  const timer = setTimeout(() => answer.abort(), request.answerWithinMs ?? request.withinMs);
  let connected = false;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = open(
        url,
        {
          method: request.method ?? 'GET',
          agent: false,
          signal: AbortSignal.any([signal, answer.signal]),
          headers: headersFor(request, url),
          ...lookup,
        },
        resolve,
      );
      asked.on('socket', (socket) => {
        socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
          connected = true;
        });
      });
      asked.on('error', reject);
      asked.end(request.body);
    });
    return { response };
  } catch (error) {
    throw failure(error, connected, limit.aborted || answer.signal.aborted);
  } finally {
    clearTimeout(timer);
  }
}

function headersFor(request: OutgoingRequest, url: URL): { readonly [name: string]: string | number } {
  const { body } = request;
  return {
    'user-agent': 'unship',
    accept: '*/*',
    'cache-control': 'no-cache',
    ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
    ...request.headers,
    ...(url.origin === request.url.origin ? request.secretHeaders : {}),
  };
}

function failure(error: unknown, connected: boolean, late: boolean): OutgoingError {
  if (error instanceof OutgoingError) return error;
  const code = (error as { readonly code?: unknown } | null)?.code;
  return new OutgoingError(messageOf(error), {
    code: typeof code === 'string' ? code : '',
    connected,
    late,
    cause: error,
  });
}

function replyOf(
  { bodyLimit }: OutgoingRequest,
  url: URL,
  { response }: Sent,
  limit: AbortSignal,
): OutgoingReply {
  // The end of its time may come while nobody reads.
  response.on('error', () => undefined);
  async function* read(): AsyncGenerator<Buffer> {
    let bytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        yield chunk.subarray(0, bodyLimit - bytes);
        bytes += chunk.length;
        if (bytes > bodyLimit) {
          throw new OutgoingError(`its body is larger than ${bodyLimit} bytes`, {
            code: 'EBODYTOOLARGE',
            connected: true,
          });
        }
      }
    } catch (error) {
      throw failure(error, true, limit.aborted);
    } finally {
      response.destroy();
    }
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    url,
    body: { [Symbol.asyncIterator]: read },
    async text() {
      const chunks: Buffer[] = [];
      let cut = false;
      try {
        for await (const chunk of read()) chunks.push(chunk);
      } catch (error) {
        cut = error instanceof OutgoingError && error.code === 'EBODYTOOLARGE';
        if (!cut) throw error;
      }
      return { text: Buffer.concat(chunks).toString('utf8'), cut };
    },
    close: () => void response.destroy(),
  };
}
