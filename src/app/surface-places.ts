import { UnshipError } from '../domain/errors.ts';
import type { Plan } from '../domain/plan.ts';
import type { Parts } from './parts.ts';

/** Providers whose builds, files and processes are on the machine that runs the command. */
const onThisMachine: ReadonlySet<string> = new Set(['feed', 'server', 'sqlite']);

/** A surface that is somewhere else than here. */
export interface SurfaceElsewhere {
  readonly surface: string;
  readonly host: string;
}

/**
 * Surfaces that another machine holds. Where a history is shared, a command on the wrong machine would find nothing
 * there, make everything anew, and record it as live.
 */
export async function surfacesElsewhere(
  parts: Parts,
  wanted: Iterable<string> = parts.surfaces.keys(),
): Promise<readonly SurfaceElsewhere[]> {
  const bound = boundSurfaces(parts, wanted);
  if (bound.length === 0) return [];
  const hosts = await parts.store.surfaceHosts();
  return bound.flatMap((surface) => {
    const host = hosts.get(surface);
    return host === undefined || host === parts.owner.host ? [] : [{ surface, host }];
  });
}

/** Throws `other-host` before anything is done; not where a person says that it has moved here. */
export async function requireHere(parts: Parts, plan: Plan, hasMoved: boolean | undefined): Promise<void> {
  const [first] = hasMoved === true ? [] : await surfacesElsewhere(parts, surfacesOf(plan));
  if (first !== undefined) throw otherHost(parts, first);
}

export function otherHost({ owner }: Parts, { surface, host }: SurfaceElsewhere): UnshipError {
  return new UnshipError('other-host', {
    happened: `${surface} is on ${host}; this is ${owner.host}`,
    done: 'nothing',
    next: `run it on ${host}; or, where ${surface} has moved here, repeat it with --take-over`,
  });
}

/** From the first run on, surfaces are where it ran. */
export async function placeHere(parts: Parts, plan: Plan, fence: number): Promise<void> {
  const bound = boundSurfaces(parts, surfacesOf(plan));
  if (bound.length === 0) return;
  const { host } = parts.owner;
  const hosts = await parts.store.surfaceHosts();
  const fresh = bound.filter((surface) => hosts.get(surface) !== host);
  if (fresh.length > 0) await parts.store.placeSurfaces(fence, fresh, host);
}

/** A history in a file of this machine is nobody else's. */
function boundSurfaces({ definition }: Parts, wanted: Iterable<string>): readonly string[] {
  if (definition.state === undefined) return [];
  return [...wanted].filter((name) => onThisMachine.has(definition.surfaces[name]?.provider ?? ''));
}

function surfacesOf({ steps }: Plan): ReadonlySet<string> {
  return new Set(steps.map(({ surface }) => surface));
}
