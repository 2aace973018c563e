import { isOwnerAlive, systemRuntime, thisOwner } from '../../src/app/system-runtime.ts';
import type { Release } from '../../src/domain/release.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Store } from '../../src/store/store.port.ts';

/** Opens a state file of its own as a running command does: with the lease, whose fence every write names. */
export async function openWithLease(
  file: string,
): Promise<{ store: Store; fence: number; end(): Promise<void> }> {
  const store = openSqliteStore(file, systemRuntime());
  const answer = await store.acquireLease({
    owner: thisOwner('bench', 'bench'),
    mode: 'normal',
    run: null,
    kind: null,
    now: Date.now(),
    ttlMs: 600_000,
    isAlive: isOwnerAlive,
  });
  if (!answer.granted) throw new Error('the lease of a new state file is taken');
  const { fence } = answer.lease;
  return {
    store,
    fence,
    end: async () => {
      await store.releaseLease(fence);
      await store.close();
    },
  };
}

/** Years of releases, one an hour: nine of ten good, all superseded. */
export async function seedReleases(file: string, count: number): Promise<void> {
  const { store, fence, end } = await openWithLease(file);
  const now = Date.now();
  const releases = Array.from({ length: count }, (_, at) =>
    oldRelease(at + 1, now - (count - at) * 3_600_000),
  );
  await store.saveReleases(fence, releases);
  await end();
}

function oldRelease(number: number, createdAt: number): Release {
  const id = `r${number}` as const;
  const commit = number.toString(16).padStart(40, '0');
  const isBad = number % 10 === 0;
  return {
    id,
    createdAt,
    createdBy: 'bench',
    commit,
    deployment: isBad ? 'rolled-back' : 'superseded',
    health: isBad ? 'bad' : 'good',
    surfaces: {
      web: { kind: 'web', commit, artifact: { folder: `${id}-${commit.slice(0, 7)}` }, label: id, since: id },
    },
    configurationHash: '0'.repeat(64),
    rehearsal: { at: createdAt, ok: true, wayBackMs: 400, rowsLost: 0 },
  };
}
