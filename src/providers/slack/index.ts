import { formatDuration } from '../../domain/duration.ts';
import { UnshipError } from '../../domain/errors.ts';
import type { Channel, Delivery } from '../../incident/communication.port.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { SlackOptions } from './options.ts';
import { oneLine, slackPayload } from './payload.ts';
import { PostFailure, type PostReply, postJson } from './post.ts';

/** In milliseconds: for the whole exchange with the webhook, and a wait beyond which it is the next attempt's. */
export interface SlackLimits {
  readonly exchangeMs: number;
  readonly longestWaitMs: number;
}

const defaultLimits: SlackLimits = { exchangeMs: 10_000, longestWaitMs: 4_000 };
const mostWaits = 2;
const shownCharacters = 120;
/** Shorter parts of the address are ordinary words: `services`, `v1`. */
const shortestMasked = 9;

/** What is known of an earlier attempt at the same message in this process. */
type Earlier = 'did-not-arrive' | 'may-have-arrived';

class ChannelTrouble extends Error {
  readonly arrived: Earlier;

  constructor(text: string, arrived: Earlier) {
    super(text);
    this.arrived = arrived;
  }
}

/** Milliseconds that `Retry-After` asks for (seconds, or a date); one second when it can't be read. */
export function retryAfterMs(header: string | undefined, now: number): number {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? 1000 : Math.max(0, date - now);
}

function failed(happened: string): UnshipError {
  return new UnshipError('channel-failed', { happened: `Slack: ${happened}` });
}

/** What the webhook said, short, on one line, and without any part of the address should it echo it. */
function quote(reply: PostReply, url: URL): string {
  const parts = [...url.pathname.split('/'), ...url.searchParams.values(), url.username, url.password];
  const secrets = [url.href, ...parts.filter((part) => part.length >= shortestMasked)];
  const said = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), reply.body);
  const short = oneLine(said).slice(0, shownCharacters);
  return `it answered ${reply.status}${short === '' ? '' : ` (${short})`}`;
}

/**
 * An incoming webhook. It has no keys and can't be read back, so after an attempt that may have arrived the
 * delivery is `maybe-twice`; sinks that know `Idempotency-Key` make it one. The address is the secret: it is
 * in no error and no log.
 */
export function createSlack(
  options: SlackOptions,
  environment: ProviderEnvironment,
  limits: SlackLimits = defaultLimits,
): Channel {
  const { exchangeMs, longestWaitMs } = limits;
  const earlier = new Map<string, Earlier>();

  function address(): URL {
    const text = environment.reveal(options.webhook).reveal();
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url !== undefined && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
    throw new UnshipError('config-invalid', {
      happened: `the value of ${options.webhook.$secret} is not an http(s) address`,
      next: `set ${options.webhook.$secret} to the address of the incoming webhook`,
    });
  }

  async function exchange(context: WorkContext, url: URL, body: string): Promise<PostReply> {
    const limit = AbortSignal.timeout(exchangeMs);
    // Header values are visible ASCII.
    const key = context.idempotencyKey.replace(/[^\x21-\x7e]/g, '-');
    context.runtime.faults.point('slack.post.before');
    try {
      const signal = AbortSignal.any([context.signal, limit]);
      const reply = await postJson(url, body, { 'idempotency-key': key }, { signal, withinMs: exchangeMs });
      context.runtime.faults.point('slack.post.after');
      return reply;
    } catch (error) {
      if (!(error instanceof PostFailure)) throw error;
      const arrived = error.certain ? 'did-not-arrive' : 'may-have-arrived';
      const certainty = error.certain ? 'it did not arrive' : 'it may have arrived';
      const why = limit.aborted
        ? `no answer within ${formatDuration(exchangeMs)}`
        : context.signal.aborted
          ? 'interrupted'
          : error.code;
      throw new ChannelTrouble(`${why}; ${certainty}`, arrived);
    }
  }

  /** Ends with a 2xx, or throws `ChannelTrouble`. A 429 is waited for as it asks, within limits. */
  async function post(context: WorkContext, body: string): Promise<void> {
    const url = address();
    const { clock } = context.runtime;
    for (let waits = 0; ; waits += 1) {
      const reply = await exchange(context, url, body);
      if (reply.status >= 200 && reply.status < 300) return;
      // An error of the server's own may come after it has passed the message on.
      if (reply.status >= 500)
        throw new ChannelTrouble(`${quote(reply, url)}; it may have arrived`, 'may-have-arrived');
      if (reply.status !== 429)
        throw new ChannelTrouble(`${quote(reply, url)}; it did not arrive`, 'did-not-arrive');
      const waitMs = retryAfterMs(reply.retryAfter, clock.now());
      if (waitMs > longestWaitMs || waits === mostWaits || context.signal.aborted) {
        const wait = `it asks to wait ${formatDuration(waitMs)}; it did not arrive`;
        throw new ChannelTrouble(wait, 'did-not-arrive');
      }
      await clock.sleep(waitMs, context.signal);
    }
  }

  return {
    name: 'slack',

    async validate() {
      address();
    },

    async send(context, message, attempt): Promise<Delivery> {
      const key = context.idempotencyKey;
      // A first attempt of another process is not known here: it may have arrived.
      const before = attempt <= 1 ? 'did-not-arrive' : (earlier.get(key) ?? 'may-have-arrived');
      try {
        await post(context, JSON.stringify(slackPayload(message)));
        earlier.delete(key);
        return before === 'may-have-arrived' ? 'maybe-twice' : 'delivered';
      } catch (error) {
        if (!(error instanceof ChannelTrouble)) throw error;
        earlier.set(key, before === 'may-have-arrived' ? before : error.arrived);
        throw failed(error.message);
      }
    },
  };
}
