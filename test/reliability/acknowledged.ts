import { hash } from 'node:crypto';
import type { Runtime } from '../../src/domain/runtime.ts';
import type { Store } from '../../src/store/store.port.ts';

/** Time that goes on by one with each look at it: the same work gives the same bytes. */
export function countingRuntime(from: number): Runtime {
  let now = 1_700_000_000_000 + from * 1_000_000;
  const tick = (): number => {
    now += 1;
    return now;
  };
  return {
    clock: {
      now: tick,
      monotonic: tick,
      // A wait that never ends by itself, for the time limits of steps would come before their effects.
      sleep: (_ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted === true) resolve();
          else signal?.addEventListener('abort', () => resolve(), { once: true });
        }),
    },
    ids: { random: () => '0'.repeat(32) },
    faults: { point: () => {} },
    digest: (text) => hash('sha256', text),
  };
}

const writing: ReadonlySet<string> = new Set<keyof Store>([
  'together',
  'saveRelease',
  'saveReleases',
  'quarantine',
  'liftQuarantine',
  'saveConfiguration',
  'rememberPlan',
  'createRun',
  'append',
  'acquireLease',
  'renewLease',
  'releaseLease',
  'signal',
  'openIncident',
  'saveIncidentDraft',
]);

/**
 * The same store, one write after the other, with `acknowledged` told between a write that has returned and the next
 * one: so what was acknowledged is always known to the last commit.
 */
export function acknowledging(
  store: Store,
  acknowledged: () => void,
  failed: (error: unknown) => void = () => {},
): Store {
  let turn: Promise<unknown> = Promise.resolve();
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      const ask = member.bind(target) as (...args: readonly unknown[]) => Promise<unknown>;
      const call = async (...args: readonly unknown[]): Promise<unknown> => {
        try {
          return await ask(...args);
        } catch (error) {
          failed(error);
          throw error;
        }
      };
      if (!writing.has(String(name))) return call;
      return (...args: readonly unknown[]) => {
        const written = turn.then(async () => {
          const answer = await call(...args);
          acknowledged();
          return answer;
        });
        turn = written.catch(() => undefined);
        return written;
      };
    },
  });
}
