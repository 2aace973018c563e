import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

// A small application: what a release serves in the tests of the gateway.

const release = process.env.UNSHIP_RELEASE ?? 'none';
const startsAfter = Number(process.env.STARTS_AFTER ?? '0');
if (process.env.FAILS !== undefined) {
  console.error(`${release} can not start: ${process.env.FAILS}`);
  process.exit(7);
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://application');
  switch (url.pathname) {
    case '/health':
      response.statusCode = process.env.UNHEALTHY === undefined ? 200 : 500;
      response.end();
      return;
    case '/slow':
      setTimeout(() => response.end(release), Number(url.searchParams.get('ms')));
      return;
    case '/stream': {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let count = 0;
      const timer = setInterval(() => {
        count += 1;
        response.write(`data: ${count}\n\n`);
        if (count === Number(url.searchParams.get('count'))) {
          clearInterval(timer);
          response.end();
        }
      }, 20);
      response.on('close', () => clearInterval(timer));
      return;
    }
    case '/echo':
      request.pipe(response);
      return;
    case '/early':
      response.writeHead(413, { 'content-length': '4' });
      response.end('full');
      return;
    case '/headers':
      response.setHeader('connection', 'keep-alive, x-private');
      response.setHeader('x-private', 'for the gateway only');
      response.setHeader('proxy-authenticate', 'Basic');
      response.setHeader('x-unship-release', 'r999');
      response.setHeader('set-cookie', ['a=1', 'b=2']);
      response.end(JSON.stringify({ url: request.url, raw: request.rawHeaders }));
      return;
    case '/reset':
      request.socket.destroy();
      return;
    case '/pid':
      response.end(String(process.pid));
      return;
    case '/crash':
      process.exit(3);
      return;
    default:
      response.end(release);
  }
});

server.on('upgrade', (request, socket) => {
  if (request.url === '/refused') {
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    return;
  }
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on('error', () => socket.destroy());
  socket.on('data', (frame: Buffer) => {
    // One small masked text frame in, the same text unmasked out.
    const length = (frame[1] ?? 0) & 0x7f;
    const mask = frame.subarray(2, 6);
    const text = Buffer.from(frame.subarray(6, 6 + length).map((byte, at) => byte ^ (mask[at % 4] ?? 0)));
    const answer = Buffer.concat([Buffer.from(`${release}:`), text]);
    socket.write(Buffer.concat([Buffer.from([0x81, answer.length]), answer]));
  });
});

process.on('SIGUSR2', () => console.log(`${release} rests`));
process.on('SIGCONT', () => undefined);
const listen = (): unknown => server.listen(Number(process.env.PORT), '127.0.0.1');
const squatted = process.env.SQUATTED_ONCE;
if (squatted !== undefined && !existsSync(squatted)) {
  // Somebody else was faster at this port.
  writeFileSync(squatted, '');
  createServer().listen(Number(process.env.PORT), '127.0.0.1', listen);
} else {
  setTimeout(listen, startsAfter);
}
