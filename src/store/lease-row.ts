import type { Selectable } from 'kysely';
import { UnshipError } from '../domain/errors.ts';
import { canonicalJson, type Json } from '../domain/json.ts';
import type { Database, Tables } from './schema.ts';
import type { Lease, LeaseOwner, LeaseRequest } from './store.port.ts';

/** The one row: the last lease given, held or not. */
export function leaseRow(db: Database): Promise<Selectable<Tables['lease']>> {
  return db.selectFrom('lease').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
}

/** Undefined once it was given back. */
export function readLease(row: Selectable<Tables['lease']>): Lease | undefined {
  if (row.owner === null) return undefined;
  return {
    owner: JSON.parse(row.owner) as LeaseOwner,
    fence: row.fence,
    run: row.run,
    kind: row.kind as Lease['kind'],
    since: row.since,
    expiresAt: row.expires_at,
  };
}

/** An expired or orphaned lease is free; a rollback goes before a release; a person's word goes before all. */
export function mayTake(held: Lease, request: LeaseRequest): boolean {
  if (held.expiresAt <= request.now) return true;
  if (held.owner.host === request.owner.host && request.isAlive(held.owner) === false) return true;
  const { silent } = request;
  if (silent?.fence === held.fence && silent.expiresAt === held.expiresAt) return true;
  if (request.mode === 'take-over') return true;
  return request.mode === 'supersede' && (held.kind === 'release' || held.kind === 'rehearsal');
}

/** The next lease is the asker's; `owner` is the one that is kept. */
export async function giveLease(
  db: Database,
  fence: number,
  request: LeaseRequest,
  owner: LeaseOwner,
): Promise<Lease> {
  const { run, kind, now, ttlMs } = request;
  const lease: Lease = { owner: request.owner, fence, run, kind, since: now, expiresAt: now + ttlMs };
  await db
    .updateTable('lease')
    .set({
      owner: canonicalJson(owner as unknown as Json),
      fence,
      run,
      kind,
      since: now,
      expires_at: lease.expiresAt,
    })
    .where('id', '=', 1)
    .execute();
  return lease;
}

/** Throws `fenced-out` when it was given back. */
export function assertHeld({ owner, fence }: Selectable<Tables['lease']>): void {
  if (owner !== null) return;
  throw new UnshipError('fenced-out', {
    happened: `lease ${fence} was given back`,
    done: 'nothing more; whoever takes the next one decides',
  });
}

/** Throws `fenced-out` when a newer lease than this has been given. */
export async function assertFence(db: Database, fence: number): Promise<void> {
  const row = await db.selectFrom('lease').select('fence').where('id', '=', 1).executeTakeFirstOrThrow();
  if (row.fence === fence) return;
  throw new UnshipError('fenced-out', {
    happened: `lease ${fence} was followed by lease ${row.fence}`,
    done: 'nothing more; the newer run decides',
  });
}
