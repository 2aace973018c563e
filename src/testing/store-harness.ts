import assert from 'node:assert/strict';
import { isUnshipError } from '../domain/errors.ts';
import type { Plan } from '../domain/plan.ts';
import type { Release } from '../domain/release.ts';
import type { Lease, LeaseAnswer, LeaseOwner, LeaseRequest, Store } from '../store/store.port.ts';

/** An empty state of its own for one test, and what stands around it. */
export interface StoreHarness extends AsyncDisposable {
  /** As another process would open it. All of them are closed at the end. */
  open(): Promise<Store>;
  /** The store's clock, in milliseconds since the epoch. */
  now(): number;
  /** Rewrites the stored text of one journal entry behind the store's back. */
  damage(run: number, seq: number, change: (text: string) => string): Promise<void>;
  /** Deletes one stored journal entry behind the store's back. */
  forget(run: number, seq: number): Promise<void>;
  /** Rewrites the stored plan of a run behind the store's back. */
  damagePlan(run: number, change: (text: string) => string): Promise<void>;
}

export const contractPlan: Plan = {
  schema: 'unship.plan/1',
  kind: 'release',
  application: 'inner-scribe-vault',
  environment: 'production',
  from: 'r1',
  to: 'r2',
  reason: 'contract',
  steps: [],
  changes: [],
  why: [],
  options: [],
  risk: { tables: [], dropped: [], exact: true },
  rowsLost: 0,
  lossUncertain: false,
  blockedWritesMs: 0,
  estimateMs: 0,
  warnings: [],
  hash: 'a'.repeat(64),
};

export const maria: LeaseOwner = {
  host: 'one',
  pid: 7,
  pidStartedAt: '100',
  user: 'maria',
  command: 'unship release',
};
export const ben: LeaseOwner = {
  host: 'two',
  pid: 8,
  pidStartedAt: '200',
  user: 'ben',
  command: 'unship rollback',
};
export const ttlMs: number = 10_000;

export function contractRelease(id: number, changes: Partial<Release> = {}): Release {
  return {
    id: `r${id}`,
    createdAt: id,
    createdBy: 'maria',
    commit: String(id % 10).repeat(40),
    deployment: 'superseded',
    health: 'unproven',
    surfaces: {},
    configurationHash: 'c'.repeat(64),
    ...changes,
  };
}

export function slugged(slug: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isUnshipError(error), String(error));
    assert.equal(error.slug, slug, error.message);
    return true;
  };
}

export async function ask(
  store: Store,
  harness: StoreHarness,
  request: Partial<LeaseRequest> = {},
): Promise<LeaseAnswer> {
  return await store.acquireLease({
    owner: maria,
    mode: 'normal',
    run: null,
    kind: 'release',
    now: harness.now(),
    ttlMs,
    isAlive: () => null,
    ...request,
  });
}

export async function lease(
  store: Store,
  harness: StoreHarness,
  request: Partial<LeaseRequest> = {},
): Promise<Lease> {
  const answer = await ask(store, harness, request);
  assert.ok(answer.granted, 'the lease was not given');
  return answer.lease;
}
