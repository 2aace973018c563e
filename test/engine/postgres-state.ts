import { randomBytes } from 'node:crypto';
import type { Runtime } from '../../src/domain/runtime.ts';
import { openPostgresStore } from '../../src/store/open-postgres.ts';
import type { Store } from '../../src/store/store.port.ts';
import { VirtualTime } from '../support/virtual-time.ts';
import type { Surroundings } from './toy.ts';

/** How many calls of stores are on their way to a server: no virtual time passes meanwhile. */
class Traffic {
  #calls = 0;
  #idle: (() => void)[] = [];

  async follow<T>(call: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    try {
      return await call();
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) for (const tell of this.#idle.splice(0)) tell();
    }
  }

  /** Once nothing is on its way, and whoever had an answer has done with it what he does. */
  whenIdle(then: () => void): void {
    setImmediate(() => {
      if (this.#calls === 0) then();
      else this.#idle.push(() => this.whenIdle(then));
    });
  }
}

/** A store that is opened when it is first used: worlds make their processes at once. */
function opening(open: () => Promise<Store>, traffic: Traffic): Store {
  let opened: Promise<Store> | undefined;
  const call = async (name: keyof Store, parameters: readonly unknown[]): Promise<unknown> => {
    if (name === 'close' && opened === undefined) return undefined;
    opened ??= open();
    const store = await opened;
    return await (store[name] as (...values: readonly unknown[]) => Promise<unknown>)(...parameters);
  };
  return new Proxy({} as Store, {
    get: (_store, name) =>
      // What is awaited must not look like a promise.
      name === 'then'
        ? undefined
        : async (...parameters: readonly unknown[]) =>
            await traffic.follow(async () => await call(name as keyof Store, parameters)),
  });
}

/** A world's state on a real server. `urlOf` tells where each process finds it, by the order of their making. */
export function postgresState(urlOf: (process: number) => string): Surroundings {
  const application = `vault-${randomBytes(6).toString('hex')}`;
  const traffic = new Traffic();
  let made = 0;
  return {
    time: new VirtualTime((tick) => traffic.whenIdle(tick)),
    open: (runtime: Runtime) => {
      made += 1;
      const url = urlOf(made);
      return opening(
        async () => await openPostgresStore({ url, application, environment: 'production' }, runtime),
        traffic,
      );
    },
    [Symbol.dispose]: () => {},
  };
}
