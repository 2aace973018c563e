import {
  Agent,
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { pipeline } from 'node:stream';
import type { ReleaseId } from '../domain/release.ts';
import { hasBody, requestHeaders, responseHeaders } from './headers.ts';
import type { Arrival, Traffic } from './traffic.ts';
import { forwardUpgrade } from './upgrade.ts';

export interface ProxyOptions {
  readonly traffic: Traffic;
  /** Port of a release on 127.0.0.1; null when its process is gone. */
  portOf(release: ReleaseId): number | null;
  trustProxy(): boolean;
  report(text: string): void;
}

/**
 * Idle connections to a release are given up before common servers close theirs (Node closes at 5 s): a
 * request must not meet a connection that is being closed.
 */
const upstreamIdleMs = 4_000;

/** Longer than the idle time of common proxies in front, so that it is they who close. */
const clientIdleMs = 75_000;

/** Methods that may be sent again when nothing of an answer was seen (RFC 9110 section 9.2.2). */
const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export function createProxy(options: ProxyOptions): Server {
  const agent = new Agent({ keepAlive: true, timeout: upstreamIdleMs, scheduling: 'lifo' });
  const server = createServer({
    keepAliveTimeout: clientIdleMs,
    headersTimeout: 60_000,
    // Uploads may take as long as they take.
    requestTimeout: 0,
  });
  server.on('request', (request, response) => {
    const path = originForm(request.url ?? '/');
    if (path === null) {
      refuse(response, 400, 'bad request');
      return;
    }
    const arrival: Arrival = {
      go: (release) => new Forward(options, agent, request, response, release, path).send(),
      refuse: (reason) => refuseArrival(response, reason),
    };
    response.once('close', () => options.traffic.cancel(arrival));
    options.traffic.arrive(arrival);
  });
  server.on('upgrade', (request, socket, head) => forwardUpgrade(options, request, socket, head));
  server.on('close', () => agent.destroy());
  return server;
}

/** One request on its way to one release and its answer on the way back. */
class Forward {
  readonly #options: ProxyOptions;
  readonly #agent: Agent;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #release: ReleaseId;
  readonly #path: string;
  #upstream: ClientRequest | undefined;

  constructor(
    options: ProxyOptions,
    agent: Agent,
    request: IncomingMessage,
    response: ServerResponse,
    release: ReleaseId,
    path: string,
  ) {
    this.#options = options;
    this.#agent = agent;
    this.#request = request;
    this.#response = response;
    this.#release = release;
    this.#path = path;
  }

  send(): void {
    if (this.#response.destroyed) return;
    const leave = this.#options.traffic.enter(this.#release, 'requests', {
      cut: () => this.#response.destroy(),
    });
    this.#response.once('close', () => {
      leave();
      if (!this.#response.writableFinished) this.#upstream?.destroy();
    });
    this.#attempt(this.#agent);
  }

  #attempt(agent: Agent | false): void {
    const port = this.#options.portOf(this.#release);
    if (port === null) {
      this.#fail('its process is not running');
      return;
    }
    let upstream: ClientRequest;
    try {
      upstream = httpRequest({
        host: '127.0.0.1',
        port,
        method: this.#request.method,
        path: this.#path,
        headers: requestHeaders(this.#request, { trustProxy: this.#options.trustProxy(), upgrade: false }),
        agent,
      });
    } catch {
      refuse(this.#response, 400, 'bad request');
      return;
    }
    this.#upstream = upstream;
    upstream.on('response', (answer) => this.#answer(answer));
    upstream.on('error', (error: NodeJS.ErrnoException) => this.#broken(upstream, error));
    upstream.on('close', () => {
      // The answer came before the body had been read: the rest is read away, or the connection would stall.
      this.#request.unpipe(upstream);
      this.#request.resume();
    });
    if (!hasBody(this.#request)) {
      upstream.end();
      return;
    }
    if (this.#request.headers['transfer-encoding'] !== undefined) upstream.flushHeaders();
    this.#request.pipe(upstream);
  }

  #answer(answer: IncomingMessage): void {
    const status = answer.statusCode ?? 502;
    this.#response.writeHead(status, answer.statusMessage ?? '', responseHeaders(answer, this.#release));
    // A stream of events may be silent for long after its header.
    if (answer.headers['content-length'] === undefined) this.#response.flushHeaders();
    pipeline(answer, this.#response, () => undefined);
  }

  #broken(upstream: ClientRequest, error: NodeJS.ErrnoException): void {
    if (this.#response.headersSent || this.#response.destroyed) {
      if (!this.#response.writableFinished) this.#response.destroy();
      return;
    }
    const reset = error.code === 'ECONNRESET' || error.code === 'EPIPE';
    if (upstream.reusedSocket && reset && isRepeatable(this.#request)) this.#attempt(false);
    else this.#fail(error.code ?? error.message);
  }

  #fail(reason: string): void {
    this.#options.report(`${this.#request.method} to ${this.#release} failed: ${reason}`);
    refuse(this.#response, 502, 'the application does not answer');
  }
}

function isRepeatable(request: IncomingMessage): boolean {
  return idempotent.has(request.method ?? '') && !hasBody(request);
}

/** A path as applications expect it, also when a client sent a whole URL; null for anything else. */
function originForm(url: string): string | null {
  if (url.startsWith('/') || url === '*') return url;
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) return null;
  const { pathname, search } = new URL(url);
  return `${pathname}${search}`;
}

function refuseArrival(response: ServerResponse, reason: Parameters<Arrival['refuse']>[0]): void {
  if (reason === 'no-release') refuse(response, 503, 'nothing is released here yet');
  else refuse(response, 503, 'maintenance is taking longer than expected; please try again', 5);
}

/** No release answered, so none is named. */
function refuse(response: ServerResponse, status: number, text: string, retryAfter?: number): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  });
  response.end(`${text}\n`);
}
