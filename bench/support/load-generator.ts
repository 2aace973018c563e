import { Agent, type ClientRequest, request as httpRequest } from 'node:http';
import { now } from './clock.ts';
import type { FromGenerator, RequestRecord, ToGenerator } from './load.ts';

/**
 * Forked by `load.ts`: requests at a steady rate whatever becomes of those before (an open loop), over kept-alive
 * connections and never repeated. Each is counted from when it was due, so that a stalled server cannot hide its
 * stall by slowing the client down.
 */
const hungAfterMs = 5_000;
/** So many answers, and the connections are there and the code is warm. */
const steadyAfter = 60;

class Load {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #records: RequestRecord[] = [];
  /** In the order in which they were sent, so the oldest is the first. */
  readonly #outstanding = new Map<ClientRequest, { readonly due: number }>();
  readonly #timer: NodeJS.Timeout;
  readonly #port: number;
  #isWatching = false;
  #next = now();

  constructor(port: number, requestsPerSecond: number) {
    this.#port = port;
    const intervalMs = 1_000 / requestsPerSecond;
    this.#timer = setInterval(() => {
      for (const at = now(); this.#next <= at; this.#next += intervalMs) this.#send(this.#next);
      this.#giveUpHung();
    }, 1);
  }

  watch(): void {
    this.#isWatching = true;
  }

  stop(): void {
    clearInterval(this.#timer);
    const ending = setInterval(() => {
      this.#giveUpHung();
      if (this.#outstanding.size > 0) return;
      clearInterval(ending);
      this.#agent.destroy();
      tell({ type: 'records', records: this.#records });
    }, 2);
  }

  #send(due: number): void {
    const request = httpRequest({ host: '127.0.0.1', port: this.#port, path: '/', agent: this.#agent });
    this.#outstanding.set(request, { due });
    const end = (status: number, release: string, error: string): void => {
      if (this.#outstanding.delete(request)) this.#record({ due, ended: now(), status, release, error });
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

  #record(record: RequestRecord): void {
    this.#records.push(record);
    if (this.#records.length === steadyAfter) tell({ type: 'steady' });
    if (this.#isWatching && record.release === 'good' && record.status < 500) {
      this.#isWatching = false;
      tell({ type: 'good' });
    }
  }

  #giveUpHung(): void {
    for (const [request, { due }] of this.#outstanding) {
      if (now() - due < hungAfterMs) break;
      this.#outstanding.delete(request);
      this.#records.push({ due, ended: null, status: 0, release: '', error: 'hung' });
      request.destroy();
    }
  }
}

let load: Load | undefined;

function tell(message: FromGenerator): void {
  process.send?.(message);
}

process.on('message', (message: ToGenerator) => {
  if (message.type === 'start') load = new Load(message.port, message.requestsPerSecond);
  if (message.type === 'watch') load?.watch();
  if (message.type === 'stop') load?.stop();
});
process.on('disconnect', () => process.exit());
