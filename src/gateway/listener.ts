import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { portTaken } from './client.ts';
import type { Listen } from './protocol.ts';
import { createProxy, type ProxyOptions } from './proxy.ts';
import type { StateFile } from './state.ts';

/** Where requests come in; may move while the gateway runs. */
export class Listener {
  readonly #state: StateFile;
  readonly #options: ProxyOptions;
  #server: Server | null = null;

  constructor(state: StateFile, options: Omit<ProxyOptions, 'trustProxy'>) {
    this.#state = state;
    this.#options = { ...options, trustProxy: () => state.current.listen?.trustProxy ?? false };
  }

  /** The new address answers before the old one stops. Throws `port-taken`, and nothing has changed. */
  async listen(wanted: Listen | null): Promise<void> {
    const now = this.#state.current.listen;
    const before = this.#server;
    if (wanted !== null && now !== null && before !== null && isSame(wanted, now)) {
      await this.#remember({ ...now, trustProxy: wanted.trustProxy });
      return;
    }
    this.#server = wanted === null ? null : await this.#open(wanted);
    before?.close();
    const address = this.#server?.address() as AddressInfo | undefined;
    await this.#remember(wanted === null || address === undefined ? null : { ...wanted, port: address.port });
  }

  close(): void {
    this.#server?.close();
  }

  async #remember(listen: Listen | null): Promise<void> {
    await this.#state.update((state) =>
      JSON.stringify(state.listen) === JSON.stringify(listen) ? state : { ...state, listen },
    );
  }

  #open({ host, port }: Listen): Promise<Server> {
    const server = createProxy(this.#options);
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        reject(error.code === 'EADDRINUSE' ? portTaken({ host, port }) : error);
      });
      // Long enough for everyone who comes back at once after a hold or a restart.
      server.listen({ host, port, backlog: 4096 }, () => resolve(server));
    });
  }
}

function isSame(wanted: Listen, now: Listen): boolean {
  return wanted.host === now.host && (wanted.port === 0 || wanted.port === now.port);
}
