import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresCluster } from './postgres-cluster.ts';

/** `before`: the server never sees the commit. `after`: it makes it, and nobody hears of that. */
export type Cut = 'before' | 'after';

/** Stands between a store and its server, counts commits, and ends the session at one of them. */
export class CommitCutter implements AsyncDisposable {
  readonly url: string;
  /** Commits seen so far, on all sessions. */
  commits = 0;
  readonly #server: Server;
  readonly #cluster: PostgresCluster;
  readonly #sockets: Set<Socket> = new Set();
  #cut: { readonly at: number; readonly when: Cut } | undefined;
  #isRefusing = false;

  private constructor(server: Server, cluster: PostgresCluster) {
    this.#server = server;
    this.#cluster = cluster;
    const { port } = server.address() as { readonly port: number };
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    server.on('connection', (client) => this.#relay(client));
  }

  static async start(cluster: PostgresCluster): Promise<CommitCutter> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CommitCutter(server, cluster);
  }

  /** Counts from now on, and ends the session at the commit with this number; at none without one. */
  cutAt(at?: number, when: Cut = 'before'): void {
    this.commits = 0;
    this.#cut = at === undefined ? undefined : { at, when };
  }

  /** As a cable that is pulled, or put in again. */
  set reachable(isReachable: boolean) {
    this.#isRefusing = !isReachable;
    if (!isReachable) for (const socket of this.#sockets) socket.destroy();
  }

  #relay(client: Socket): void {
    if (this.#isRefusing) {
      client.destroy();
      return;
    }
    const upstream = connect(this.#cluster.port, '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    let isHeldBack = false;
    upstream.on('data', (bytes) => {
      if (!isHeldBack) client.write(bytes);
    });
    client.on('data', (bytes) => {
      // Text of a simple query; it stands alone in what the client sends.
      if (bytes[0] !== 0x51 || bytes.toString('latin1', 5, 11) !== 'commit') {
        upstream.write(bytes);
        return;
      }
      this.commits += 1;
      if (this.commits !== this.#cut?.at) {
        upstream.write(bytes);
        return;
      }
      isHeldBack = true;
      if (this.#cut.when === 'after') {
        upstream.once('data', () => void this.#endSession(upstream));
        upstream.write(bytes);
      } else {
        void this.#endSession(upstream);
      }
    });
  }

  async #endSession(upstream: Socket): Promise<void> {
    const ours = `from pg_stat_activity where client_port = ${upstream.localPort}`;
    await this.#cluster.query(`select pg_terminate_backend(pid) ${ours}`);
    while ((await this.#cluster.query(`select 1 ${ours}`)).length > 0) await sleep(5);
    upstream.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
