import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export type ClientPlatform = 'linux' | 'win' | 'mac';

export interface ClientQuery {
  /** Folder that the feed is served from. */
  readonly feedUrl: string;
  readonly currentVersion: string;
  readonly platform: ClientPlatform;
  /** As after setting a channel: an older version on offer is taken. */
  readonly allowDowngrade?: boolean;
  /** Keeps what the client has downloaded from one look to the next. Default a fresh one. */
  readonly cacheFolder?: string;
  /** Default true. */
  readonly download?: boolean;
}

export interface ClientSight {
  /** The version that the client would move to; null when it is offered none. */
  readonly version: string | null;
  /** Base64, of the file as it lies on the client's disk, verified by the client. */
  readonly downloadedSha512?: string;
  /** Code and first line of the error that the client ran into. */
  readonly error?: string;
}

const script: string = fileURLToPath(new URL('./electron-updater-process.ts', import.meta.url));

/** What stock electron-updater clients see and fetch, one after the other, in one process of their own. */
export async function clientsSee(queries: readonly ClientQuery[]): Promise<readonly ClientSight[]> {
  const child = spawn(process.execPath, ['--no-warnings', script], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(JSON.stringify(queries));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (output === '') throw new Error(`the client process said nothing: ${errors}`);
  return JSON.parse(output) as readonly ClientSight[];
}

/** What one stock electron-updater client sees and fetches. */
export async function clientSees(query: ClientQuery): Promise<ClientSight> {
  return (await clientsSee([query]))[0] as ClientSight;
}
