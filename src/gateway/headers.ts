import type { IncomingMessage } from 'node:http';
import type { ReleaseId } from '../domain/release.ts';

/** RFC 9110 section 7.6.1, and what older software sends. They end at the gateway. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** A `Connection` header may not name these away: the length is the framing, the host the virtual server. */
const neverNamed: ReadonlySet<string> = new Set(['content-length', 'host']);

export const releaseHeader = 'x-unship-release';

export interface Forwarding {
  readonly trustProxy: boolean;
  readonly upgrade: boolean;
}

/** Headers for the release, in the flat form of `rawHeaders`: repeated ones stay repeated, in their order. */
export function requestHeaders(request: IncomingMessage, { trustProxy, upgrade }: Forwarding): string[] {
  const dropped = named(request.headers.connection);
  const chain: string[] = [];
  const headers: string[] = [];
  for (const [name, value] of pairs(request.rawHeaders)) {
    const key = name.toLowerCase();
    if (hopByHop.has(key) || dropped.has(key) || key === 'expect' || key === releaseHeader) continue;
    if (key === 'x-forwarded-for' && trustProxy) chain.push(value);
    if (key === 'x-forwarded-for' || (isForwarded(key) && !trustProxy)) continue;
    headers.push(name, value);
  }
  chain.push(request.socket.remoteAddress ?? 'unknown');
  headers.push('X-Forwarded-For', chain.join(', '));
  if (!trustProxy || request.headers['x-forwarded-proto'] === undefined) {
    headers.push('X-Forwarded-Proto', 'http');
  }
  const { host } = request.headers;
  if (host === undefined) headers.push('Host', 'localhost');
  else if (!trustProxy || request.headers['x-forwarded-host'] === undefined) {
    headers.push('X-Forwarded-Host', host);
  }
  return upgrade
    ? [...headers, 'Connection', 'Upgrade', 'Upgrade', request.headers.upgrade ?? '']
    : [...headers, ...framing(request)];
}

/** Headers for the client, with the name of the release that answered. */
export function responseHeaders(response: IncomingMessage, release: ReleaseId): string[] {
  const dropped = named(response.headers.connection);
  const headers: string[] = [];
  for (const [name, value] of pairs(response.rawHeaders)) {
    const key = name.toLowerCase();
    if (hopByHop.has(key) || dropped.has(key) || key === releaseHeader) continue;
    headers.push(name, value);
  }
  headers.push(releaseHeader, release);
  return headers;
}

/** True when a body may follow the header. */
export function hasBody(request: IncomingMessage): boolean {
  const { 'transfer-encoding': encoding, 'content-length': length } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== '0');
}

/** A length stays as it came; what came in chunks goes on in chunks; what had neither must not get chunks. */
function framing(request: IncomingMessage): readonly string[] {
  if (request.headers['transfer-encoding'] !== undefined) return ['Transfer-Encoding', 'chunked'];
  if (request.headers['content-length'] !== undefined) return [];
  return ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE'].includes(request.method ?? '')
    ? []
    : ['Content-Length', '0'];
}

function isForwarded(key: string): boolean {
  return key.startsWith('x-forwarded-') || key === 'forwarded' || key === 'x-real-ip';
}

function named(connection: string | undefined): ReadonlySet<string> {
  if (connection === undefined) return new Set();
  const names = connection.split(',').map((name) => name.trim().toLowerCase());
  return new Set(names.filter((name) => name !== '' && !neverNamed.has(name)));
}

function* pairs(raw: readonly string[]): Generator<readonly [string, string]> {
  for (let at = 0; at + 1 < raw.length; at += 2) yield [raw[at] as string, raw[at + 1] as string];
}
