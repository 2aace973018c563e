import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UnshipError } from '../../domain/errors.ts';
import { exchange, OutgoingError, type OutgoingReply } from '../../outgoing/client.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { digest, isMissing } from './files.ts';
import { type FeedContent, platformOf } from './manifest.ts';
import { FeedProblem, filesOf, largestFeedBytes, parseFeed } from './yml.ts';

/** How the bytes of a feed are come by: over the address that clients use, or from the folder. */
export interface FeedReader {
  readonly place: string;
  /** Null when there is no such file. */
  text(name: string, signal: AbortSignal): Promise<string | null>;
  measure(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly size: number; readonly sha512: string } | null>;
}

export function folderReader(folder: string): FeedReader {
  const orNull = (error: unknown): null => {
    if (isMissing(error)) return null;
    throw error;
  };
  return {
    place: folder,
    text: (name) => readFile(join(folder, name), 'utf8').catch(orNull),
    measure: (name, signal) => digest(createReadStream(join(folder, name)), signal).catch(orNull),
  };
}

const answerWithinMs = 15_000;
/** A large artifact over a slow line; the step's own limit comes first. */
const artifactWithinMs = 30 * 60_000;
/** Larger than any installer: a body without end must end somewhere. */
const largestArtifactBytes = 16 * 1024 ** 3;

/** A web host may move a file within itself, or to its storage by https at a public address; nothing else. */
async function request(
  url: URL,
  signal: AbortSignal,
  limits: { readonly withinMs: number; readonly bodyLimit: number },
): Promise<OutgoingReply | null> {
  try {
    const reply = await exchange({
      url,
      source: 'configured',
      followRedirects: true,
      answerWithinMs,
      signal,
      ...limits,
    });
    if (reply.status === 200) return reply;
    reply.close();
    if (reply.status === 404) return null;
    throw new FeedProblem(`${reply.url.href} answers ${reply.status}`);
  } catch (error) {
    if (!(error instanceof OutgoingError) || signal.aborted) throw error;
    throw new FeedProblem(`${url.href}: ${error.late ? 'it does not answer' : error.message}`);
  }
}

export function urlReader(address: string, random: () => string): FeedReader {
  const base = new URL(address.endsWith('/') ? address : `${address}/`);
  const at = (name: string): URL => new URL(name, base);
  return {
    place: base.href,
    async text(name, signal) {
      const url = at(name);
      url.searchParams.set('noCache', random().slice(0, 8));
      const limits = { withinMs: 2 * answerWithinMs, bodyLimit: largestFeedBytes };
      const reply = await request(url, signal, limits);
      if (reply === null) return null;
      const { text, cut } = await reply.text();
      if (cut) throw new FeedProblem(`${name} is larger than 1 MiB`);
      return text;
    },
    async measure(name, signal) {
      const limits = { withinMs: artifactWithinMs, bodyLimit: largestArtifactBytes };
      const reply = await request(at(name), signal, limits);
      return reply === null ? null : await digest(reply.body, signal);
    },
  };
}

/** What one platform's clients are offered. */
interface PlatformOffer {
  readonly feedName: string;
  /** Null when nothing is offered (0 %). */
  readonly version: string | null;
  readonly content: FeedContent;
}

async function offerOf(reader: FeedReader, feedName: string, signal: AbortSignal): Promise<PlatformOffer> {
  const text = await reader.text(feedName, signal);
  if (text === null) throw new FeedProblem(`${feedName} is not there: every client on it gets an error`);
  const content = await parseFeed(text).catch((error: unknown) => {
    throw new FeedProblem(`${feedName} can't be read by clients: ${messageOf(error)}`);
  });
  return { feedName, version: content.stagingPercentage === 0 ? null : content.version, content };
}

async function checkFiles(reader: FeedReader, offer: PlatformOffer, signal: AbortSignal): Promise<number> {
  const files = filesOf(offer.content);
  for (const file of files) {
    const found = await reader.measure(file.name, signal);
    if (found === null) throw new FeedProblem(`${offer.feedName} offers ${file.name}, which is not there`);
    if (file.size !== undefined && found.size !== file.size) {
      throw new FeedProblem(`${file.name} has ${found.size} bytes instead of ${file.size}`);
    }
    if (found.sha512 !== file.sha512) {
      throw new FeedProblem(`${file.name} has other bytes than ${offer.feedName} says: clients refuse it`);
    }
  }
  return files.length;
}

/**
 * Reads each feed as a client does, and every byte it offers. `expected` gives the version per feed, null where
 * nothing may be offered. Throws `feed-mismatch` with everything that is wrong.
 */
export async function checkOffers(
  context: LookContext,
  reader: FeedReader,
  expected: ReadonlyMap<string, string | null>,
): Promise<string> {
  const problems: string[] = [];
  const seen: string[] = [];
  let files = 0;
  for (const [feedName, version] of expected) {
    context.signal.throwIfAborted();
    try {
      const offer = await offerOf(reader, feedName, context.signal);
      if (offer.version !== version) {
        throw new FeedProblem(
          `${platformOf(feedName)} is offered ${offer.version ?? 'nothing'} instead of ${version ?? 'nothing'}`,
        );
      }
      if (version !== null) files += await checkFiles(reader, offer, context.signal);
      seen.push(`${platformOf(feedName)} ${version ?? 'nothing'}`);
    } catch (error) {
      context.signal.throwIfAborted();
      problems.push(messageOf(error));
    }
  }
  if (problems.length > 0) {
    throw new UnshipError('feed-mismatch', { happened: `${reader.place}: ${problems.join('; ')}` });
  }
  return `offered: ${seen.join(', ') || 'nothing'}; ${files} ${files === 1 ? 'file' : 'files'} verified`;
}
