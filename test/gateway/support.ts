import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ReleaseId } from '../../src/domain/release.ts';
import {
  askGateway,
  commandGateway,
  type GatewayLocation,
  type GatewayRequest,
  type GatewayStatus,
  type ReleaseSpec,
  type StartResult,
} from '../../src/gateway/client.ts';
import { identityOf } from '../../src/gateway/process-identity.ts';

const application = fileURLToPath(new URL('./application.ts', import.meta.url));

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface AskWith {
  readonly method?: string;
  readonly headers?: { readonly [name: string]: string } | readonly string[];
  readonly body?: string;
  readonly agent?: Agent | false;
}

export function ask(
  port: number,
  path: string,
  { method, headers, body, agent = false }: AskWith = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path,
        agent,
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        ...(headers === undefined ? {} : { headers: headers as never }),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** Polls until it is true; throws after the deadline. */
export async function until(
  what: string,
  check: () => Promise<boolean> | boolean,
  withinMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A real gateway in a folder of its own. */
export class TestGateway {
  readonly folder: string;
  readonly port: number;
  readonly location: GatewayLocation;
  fence = 1;

  constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    this.location = { folder, listen: { host: '127.0.0.1', port, trustProxy: false } };
  }

  static async make(): Promise<TestGateway> {
    return new TestGateway(await mkdtemp(join(tmpdir(), 'unship-gateway-')), await freePort());
  }

  spec(release: ReleaseId, environment: { readonly [name: string]: string } = {}): ReleaseSpec {
    return {
      release,
      commit: 'a'.repeat(40),
      command: [process.execPath, application],
      folder: this.folder,
      environment: { PATH: process.env.PATH ?? '', UNSHIP_RELEASE: release, ...environment },
      health: '/health',
      startWithinMs: 10_000,
      drainMs: 1_000,
    };
  }

  start(release: ReleaseId, environment: { readonly [name: string]: string } = {}): Promise<StartResult> {
    return this.send({
      command: 'start',
      fence: this.fence,
      spec: this.spec(release, environment),
    }) as Promise<StartResult>;
  }

  send(command: GatewayRequest): Promise<unknown> {
    return commandGateway(this.location, command, { timeoutMs: 30_000 });
  }

  switchTo(release: ReleaseId): Promise<unknown> {
    return this.send({ command: 'switch', fence: this.fence, release });
  }

  hold(more: { ownerPid?: number; drainMs?: number; maxMs?: number } = {}): Promise<unknown> {
    const owner = { ownerPid: process.pid, drainMs: 1_000, maxMs: 30_000 };
    return this.send({ command: 'hold', fence: this.fence, ...owner, ...more });
  }

  resume(): Promise<unknown> {
    return this.send({ command: 'resume', fence: this.fence });
  }

  status(): Promise<GatewayStatus> {
    return askGateway(this.folder, { command: 'status' });
  }

  ask(path: string, more: AskWith = {}): Promise<Answer> {
    return ask(this.port, path, more);
  }

  log(): Promise<string> {
    return readFile(join(this.folder, 'daemon.log'), 'utf8');
  }

  async dispose(): Promise<void> {
    const { pid, fence } = await commandGateway(this.location, { command: 'status' });
    await askGateway(this.folder, { command: 'shutdown', fence, stopReleases: true });
    await until('the gateway ends', () => !isAlive(pid));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A process whose parent was killed may stay a zombie for a while: that is dead. */
export function isAlive(pid: number): boolean {
  return identityOf(pid) !== null;
}

/** Constant load on keep-alive connections, until `stop`. */
export function load(port: number, path: string, connections: number): { stop(): Promise<LoadResult> } {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let running = true;
  const answers = new Map<string, number>();
  const failures: string[] = [];
  const worker = async (): Promise<void> => {
    while (running) {
      try {
        const { status, body } = await ask(port, path, { agent });
        if (status === 200) answers.set(body, (answers.get(body) ?? 0) + 1);
        else failures.push(`${status} ${body}`);
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  const workers = Array.from({ length: connections }, worker);
  return {
    stop: async () => {
      running = false;
      await Promise.all(workers);
      agent.destroy();
      return { answers, failures };
    },
  };
}

export interface LoadResult {
  /** Number of good answers per body. */
  readonly answers: ReadonlyMap<string, number>;
  readonly failures: readonly string[];
}
