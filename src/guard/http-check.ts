import type { CheckDefinition } from '../domain/definition.ts';
import { formatDuration } from '../domain/duration.ts';
import { messageOf, UnshipError } from '../domain/errors.ts';
import { exchange, OutgoingError } from '../outgoing/client.ts';
import type { LookContext } from '../surfaces/surface.port.ts';
import type { Check, CheckResult } from './check.port.ts';
import { positiveDuration } from './positive-duration.ts';
import { timedCheck } from './timed-check.ts';

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
  return error instanceof OutgoingError ? error.code : '';
}

/** One GET on a connection of its own; redirects are an answer like any other. */
async function get(url: URL, signal: AbortSignal, withinMs: number): Promise<Reply> {
  const reply = await exchange({ url, source: 'configured', signal, withinMs, bodyLimit });
  const { text, cut } = await reply.text();
  return { status: reply.status, body: text, cut };
}

async function getWithRetry(url: URL, signal: AbortSignal, withinMs: number): Promise<Reply> {
  try {
    return await get(url, signal, withinMs);
  } catch (error) {
    if (signal.aborted || !brokenConnections.has(codeOf(error))) throw error;
    return get(url, signal, withinMs);
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
      const reply = await getWithRetry(url, AbortSignal.any([context.signal, limit]), withinMs);
      const wrong = complaint(reply, definition);
      return { verdict: wrong === undefined ? 'pass' : 'fail', seen: `${name}: ${wrong ?? reply.status}` };
    } catch (error) {
      if (context.signal.aborted) return { verdict: 'unknown', seen: `${name}: interrupted` };
      if (limit.aborted || (error instanceof OutgoingError && error.late)) {
        return { verdict: 'fail', seen: `${name}: no full answer within ${formatDuration(withinMs)}` };
      }
      const code = codeOf(error);
      return {
        verdict: ownTroubles.has(code) ? 'unknown' : 'fail',
        seen: `${name}: ${code === '' ? messageOf(error) : code}`,
      };
    }
  }

  return timedCheck(name, ask);
}
