import { lstatSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { isUnshipError, messageOf } from '../domain/errors.ts';
import type { GatewayReply, GatewayRequest } from './protocol.ts';

const longestLine = 1024 * 1024;

const lookEveryMs = 1_000;

/**
 * The control socket. Who may connect is decided by the file system: the socket is 0600 in a folder of 0700.
 * Requests of one connection are answered as they finish, each with the id it came with. A file system entry can
 * be cleaned away or replaced while the gateway serves; it is made again then, as no rollback would reach the
 * gateway otherwise, nor could another one take its place.
 */
export async function listenForControl(
  choosePath: () => string,
  answer: (request: GatewayRequest) => Promise<unknown>,
  report: (text: string) => void,
): Promise<void> {
  let { path, server, file } = await listen(choosePath(), answer);
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking || fileAt(path) === file) return;
    isLooking = true;
    try {
      report(`the control socket ${path} was taken away; it is made again`);
      server.close();
      ({ path, server, file } = await listen(choosePath(), answer));
    } catch (error) {
      report(`the control socket could not be made again: ${messageOf(error)}`);
    } finally {
      isLooking = false;
    }
  };
  setInterval(() => void look(), lookEveryMs).unref();
}

/** Identity of what lies there; null when nothing does. */
function fileAt(path: string): string | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}:${found.ino}:${found.birthtimeMs}`;
}

async function listen(
  path: string,
  answer: (request: GatewayRequest) => Promise<unknown>,
): Promise<{ readonly path: string; readonly server: Server; readonly file: string | null }> {
  const server = createServer((socket) => serve(socket, answer));
  // The instance lock is held: whatever lies here belongs to a dead gateway, or to nobody.
  rmSync(path, { force: true, recursive: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return { path, server, file: fileAt(path) };
}

function serve(socket: Socket, answer: (request: GatewayRequest) => Promise<unknown>): void {
  let pending = '';
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', (text: string) => {
    pending += text;
    if (pending.length > longestLine) return void socket.destroy();
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) void reply(socket, line, answer);
  });
}

async function reply(
  socket: Socket,
  line: string,
  answer: (request: GatewayRequest) => Promise<unknown>,
): Promise<void> {
  let id = 0;
  let sent: GatewayReply;
  try {
    const request = JSON.parse(line) as GatewayRequest & { id?: unknown };
    id = typeof request.id === 'number' ? request.id : 0;
    sent = { id, ok: true, result: (await answer(request)) ?? null };
  } catch (error) {
    sent = { id, ok: false, error: describe(error) };
  }
  if (!socket.destroyed) socket.write(`${JSON.stringify(sent)}\n`);
}

function describe(error: unknown): Extract<GatewayReply, { ok: false }>['error'] {
  if (!isUnshipError(error)) return { slug: 'internal', details: { happened: messageOf(error) } };
  const { cause: _cause, ...details } = error.details;
  return { slug: error.slug, details };
}
