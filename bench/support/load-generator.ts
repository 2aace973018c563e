import { Agent, type ClientRequest, request as httpRequest } from 'node:http';
import { now } from './clock.ts';
import type { FromGenerator, RequestRecord, ToGenerator } from './load.ts';

/**
 * `load-generator.ts PORT RATE`, forked: requests at a steady rate whatever becomes of those before (an open
 * loop), over kept-alive connections and never repeated. Each is counted from when it was due, so that a
 * stalled server cannot hide its stall by slowing the client down.
 */
const hungAfterMs = 5_000;
/** So many answers, a third of a second's, and the connections are there and the code is warm. */
const steadyAfter = 100;
const agent = new Agent({ keepAlive: true });
const port = Number(process.argv[2]);
const intervalMs = 1_000 / Number(process.argv[3]);

const records: RequestRecord[] = [];
/** In the order in which they were sent, so the oldest is the first. */
const outstanding = new Map<ClientRequest, { readonly due: number }>();
let watching = false;
let next = now();

function tell(message: FromGenerator): void {
  process.send?.(message);
}

function send(due: number): void {
  const request = httpRequest({ host: '127.0.0.1', port, path: '/', agent });
  outstanding.set(request, { due });
  const end = (status: number, release: string, error: string): void => {
    if (!outstanding.delete(request)) return;
    const at = now();
    records.push({ due, ended: at, status, release, error });
    if (records.length === steadyAfter) tell({ type: 'steady' });
    if (watching && release === 'good' && status < 500) {
      watching = false;
      tell({ type: 'good' });
    }
  };
  request.on('response', (response) => {
    response.resume();
    const release = String(response.headers['x-bench-release'] ?? '');
    response.on('end', () => end(response.statusCode ?? 0, release, ''));
    response.on('error', () => end(0, '', 'cut short'));
  });
  request.on('error', (error: NodeJS.ErrnoException) => end(0, '', error.code ?? error.message));
  request.on('close', () => end(0, '', 'closed without an answer'));
  request.end();
}

function giveUpHung(): void {
  for (const [request, { due }] of outstanding) {
    if (now() - due < hungAfterMs) break;
    outstanding.delete(request);
    records.push({ due, ended: null, status: 0, release: '', error: 'hung' });
    request.destroy();
  }
}

const sending = setInterval(() => {
  for (const at = now(); next <= at; next += intervalMs) send(next);
  giveUpHung();
}, 1);

function stop(): void {
  clearInterval(sending);
  const ending = setInterval(() => {
    giveUpHung();
    if (outstanding.size > 0) return;
    clearInterval(ending);
    agent.destroy();
    process.send?.({ type: 'records', records } satisfies FromGenerator, () => process.disconnect());
  }, 5);
}

process.on('message', (message: ToGenerator) => {
  if (message.type === 'watch') watching = true;
  else stop();
});
process.on('disconnect', () => process.exit());
