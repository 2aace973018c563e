import { request as httpRequest, type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ReleaseId } from '../domain/release.ts';
import { requestHeaders, responseHeaders } from './headers.ts';
import type { ProxyOptions } from './proxy.ts';
import type { Arrival } from './traffic.ts';

/** WebSocket and other upgrades: after the handshake, bytes go both ways untouched. */
export function forwardUpgrade(
  options: ProxyOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  // Without a listener a reset by the client would end the gateway.
  socket.on('error', () => socket.destroy());
  const arrival: Arrival = {
    go: (release) => connect(options, request, socket, head, release),
    refuse: () => end(socket, 503),
  };
  socket.once('close', () => options.traffic.cancel(arrival));
  options.traffic.arrive(arrival);
}

function connect(
  options: ProxyOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  release: ReleaseId,
): void {
  const port = options.portOf(release);
  if (socket.destroyed) return;
  if (port === null || !(request.url ?? '').startsWith('/')) {
    end(socket, port === null ? 502 : 400);
    return;
  }
  const upstream = httpRequest({
    host: '127.0.0.1',
    port,
    method: request.method,
    path: request.url,
    headers: requestHeaders(request, { trustProxy: options.trustProxy(), upgrade: true }),
    agent: false,
  });
  const leave = options.traffic.enter(release, 'upgraded', { cut: () => socket.destroy() });
  socket.once('close', () => {
    leave();
    upstream.destroy();
  });
  upstream.on('error', (error: NodeJS.ErrnoException) => {
    options.report(`upgrade to ${release} failed: ${error.code ?? error.message}`);
    end(socket, 502);
  });
  upstream.on('response', (answer) => {
    // The application declined: its answer goes back as it is, and the connection ends with it.
    socket.write(headOf(answer, release, ['Connection', 'close']), 'latin1');
    answer.pipe(socket);
  });
  upstream.on('upgrade', (answer, peer, first) => {
    peer.on('error', () => socket.destroy());
    peer.once('close', () => socket.destroy());
    socket.once('close', () => peer.destroy());
    const upgrade = answer.headers.upgrade ?? '';
    socket.write(headOf(answer, release, ['Connection', 'Upgrade', 'Upgrade', upgrade]), 'latin1');
    if (first.length > 0) socket.write(first);
    if (head.length > 0) peer.write(head);
    peer.pipe(socket);
    socket.pipe(peer);
  });
  upstream.end();
}

function headOf(answer: IncomingMessage, release: ReleaseId, extra: readonly string[]): string {
  const headers = [...responseHeaders(answer, release), ...extra];
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let at = 0; at + 1 < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function end(socket: Duplex, status: number): void {
  if (socket.destroyed || socket.writableEnded) return;
  const retry = status === 503 ? 'Retry-After: 5\r\n' : '';
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${retry}Content-Length: 0\r\nConnection: close\r\n\r\n`,
  );
}
