import type { IncomingMessage } from 'node:http';
import type { CheckDefinition } from '../domain/definition.ts';
import { formatDuration } from '../domain/duration.ts';
import { messageOf, UnshipError } from '../domain/errors.ts';
import type { LookContext } from '../surfaces/surface.port.ts';
import type { Check, CheckResult } from './check.port.ts';
import { positiveDuration } from './positive-duration.ts';

export type HttpCheckDefinition = Extract<CheckDefinition, { readonly http: string }>;

const defaultStatus = 200;
const defaultWithin = '5s';
const bodyLimit = 64 * 1024;

/**
 * Troubles at this end of the line, which say nothing about the application. A refused or a broken connection
 * is not among them: the application's users meet it too.
 */
const ownTroubles: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ENOTFOUND',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
]);

/** Connections that broke before a reply came: worth one more question on a new one. */
const brokenConnections: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly cut: boolean;
}

function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

async function readBody(response: IncomingMessage): Promise<{ body: string; cut: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > bodyLimit) break;
  }
  const cut = bytes > bodyLimit;
  return { body: Buffer.concat(chunks).subarray(0, bodyLimit).toString('utf8'), cut };
}

/** One GET on a connection of its own; redirects are an answer like any other. */
async function get(url: URL, signal: AbortSignal): Promise<Reply> {
  // Loaded here: it costs a third of the program's start.
  const { request } = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request(
      url,
      {
        agent: false,
        signal,
        headers: { 'user-agent': 'unship', accept: '*/*', 'cache-control': 'no-cache' },
      },
      resolve,
    );
    asked.on('error', reject);
    asked.end();
  });
  try {
    return { status: response.statusCode ?? 0, ...(await readBody(response)) };
  } finally {
    response.destroy();
  }
}

async function getWithRetry(url: URL, signal: AbortSignal): Promise<Reply> {
  try {
    return await get(url, signal);
  } catch (error) {
    if (signal.aborted || !brokenConnections.has(codeOf(error))) throw error;
    return get(url, signal);
  }
}

/** Throws `config-invalid` unless it is a path that stays on the live address. */
function addressOf(path: string, base: string): URL {
  const live = new URL(base);
  const url = URL.canParse(path, base) ? new URL(path, base) : undefined;
  if (path.startsWith('/') && url?.origin === live.origin) return url;
  throw new UnshipError('config-invalid', {
    happened: `the check \`${path}\` is not a path on the live address`,
    next: 'write a path that starts with /',
  });
}

/** What is wrong with the reply; undefined when nothing is. */
function complaint(reply: Reply, definition: HttpCheckDefinition): string | undefined {
  const status = definition.status ?? defaultStatus;
  if (reply.status !== status) return `${reply.status}, expected ${status}`;
  if (definition.body === undefined || reply.body.includes(definition.body)) return undefined;
  const where = reply.cut ? ` in its first ${bodyLimit / 1024} KiB` : '';
  return `${reply.status}, without the expected text${where}`;
}

/**
 * Asks a path of the live application. `base` is the live address (`http://127.0.0.1:8080`), null when the
 * surface has none: then nothing can be asked. Throws `config-invalid` when it is made, never when it is run.
 */
export function createHttpCheck(definition: HttpCheckDefinition, base: string | null): Check {
  const name = `GET ${definition.http}`;
  const url = base === null ? null : addressOf(definition.http, base);
  const withinMs = positiveDuration(`within of the check \`${name}\``, definition.within ?? defaultWithin);

  async function ask(context: LookContext): Promise<Pick<CheckResult, 'verdict' | 'seen'>> {
    if (url === null) return { verdict: 'unknown', seen: `${name}: there is no live address to ask` };
    const limit = AbortSignal.timeout(withinMs);
    try {
      const reply = await getWithRetry(url, AbortSignal.any([context.signal, limit]));
      const wrong = complaint(reply, definition);
      return { verdict: wrong === undefined ? 'pass' : 'fail', seen: `${name}: ${wrong ?? reply.status}` };
    } catch (error) {
      if (context.signal.aborted) return { verdict: 'unknown', seen: `${name}: interrupted` };
      if (limit.aborted) {
        return { verdict: 'fail', seen: `${name}: no full answer within ${formatDuration(withinMs)}` };
      }
      const code = codeOf(error);
      return {
        verdict: ownTroubles.has(code) ? 'unknown' : 'fail',
        seen: `${name}: ${code === '' ? messageOf(error) : code}`,
      };
    }
  }

  return {
    name,
    async run(context) {
      const { clock } = context.runtime;
      const started = clock.monotonic();
      const result = await ask(context);
      return { check: name, ...result, ms: Math.round(clock.monotonic() - started) };
    },
  };
}
