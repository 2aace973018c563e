import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One answer, as a user saw it. Times are of `performance.now()`. */
export interface Seen {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly path: string;
  /** 0 when no answer came. */
  readonly status: number;
  /** The release that says it answered; null when nobody did. */
  readonly release: string | null;
}

/** A write that the application acknowledged: it must be there afterwards, word for word. */
export interface Acknowledged {
  readonly id: number;
  readonly body: string;
  readonly at: number;
}

/** Steady readers and writers against one address, and everything they saw. */
export class Load {
  readonly seen: Seen[] = [];
  readonly acknowledged: Acknowledged[] = [];
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  #ended = false;
  #running: Promise<unknown> = Promise.resolve();
  #written = 0;

  constructor(url: string) {
    this.#url = url;
  }

  start(options: { readonly readsPerSecond: number; readonly writers: number }): void {
    const paths = ['/', '/api/entries', '/health', '/api/moods', '/api/entries?q=the'];
    const readers = this.#read(options.readsPerSecond, paths);
    const writers = Array.from({ length: options.writers }, (_item, index) => this.#write(index));
    this.#running = Promise.all([readers, ...writers]);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#running;
    this.#agent.destroy();
  }

  /** Open loop: a slow answer does not slow the next question down. */
  async #read(perSecond: number, paths: readonly string[]): Promise<void> {
    const pending = new Set<Promise<unknown>>();
    const begun = performance.now();
    for (let count = 0; !this.#ended; count += 1) {
      const due = begun + (count * 1000) / perSecond;
      const early = due - performance.now();
      if (early > 0) await sleep(early);
      const work = this.#ask('GET', paths[count % paths.length] ?? '/').finally(() => pending.delete(work));
      pending.add(work);
    }
    await Promise.all(pending);
  }

  async #write(writer: number): Promise<void> {
    const moods = ['calm', 'happy', 'sad', 'tired', null];
    while (!this.#ended) {
      this.#written += 1;
      const body = `Writer ${writer}, Line ${this.#written}:\nThe Quick Brown Fox.`;
      const mood = moods[this.#written % moods.length] ?? null;
      const answer = await this.#ask('POST', '/api/entries', JSON.stringify({ body, mood }));
      if (answer.status === 201) {
        const { id } = JSON.parse(answer.text) as { id: number };
        this.acknowledged.push({ id, body, at: performance.now() });
      }
      await sleep(25);
    }
  }

  async #ask(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
    const startedAt = performance.now();
    const answer = await new Promise<{ status: number; release: string | null; text: string }>((resolve) => {
      const nothing = { status: 0, release: null, text: '' };
      const call = request(
        `${this.#url}${path}`,
        {
          method,
          agent: this.#agent,
          timeout: 15_000,
          headers:
            body === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', () => resolve(nothing));
          response.on('end', () => {
            const header = response.headers['x-unship-release'];
            resolve({
              status: response.statusCode ?? 0,
              release: typeof header === 'string' ? header : null,
              text: Buffer.concat(chunks).toString(),
            });
          });
        },
      );
      call.on('timeout', () => call.destroy());
      call.on('error', () => resolve(nothing));
      call.end(body);
    });
    const { status, release } = answer;
    this.seen.push({ startedAt, endedAt: performance.now(), path, status, release });
    return answer;
  }
}

/** Milliseconds from `since` to the first good answer of `release`. */
export function firstGoodAfter(seen: readonly Seen[], release: string, since: number): number | null {
  const times = seen.filter(
    (item) => item.release === release && item.status >= 200 && item.status < 400 && item.endedAt >= since,
  );
  return times.length === 0 ? null : Math.min(...times.map((item) => item.endedAt)) - since;
}

/** Failures since `since` that the bad release did not answer itself. */
export function failuresSince(seen: readonly Seen[], bad: string, since: number): readonly Seen[] {
  return seen.filter(
    (item) => item.endedAt >= since && item.release !== bad && (item.status === 0 || item.status >= 500),
  );
}
