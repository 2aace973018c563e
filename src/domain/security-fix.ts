import { UnshipError } from './errors.ts';
import type { Plan } from './plan.ts';
import type { Release, ReleaseId } from './release.ts';

/**
 * Security fixes that `from` has and `to` has not, as the releases that brought them. Each release carries the
 * whole list, so that two releases are enough to tell, however much history lies between them.
 */
export function securityFixesLost(from: Release, to: Release): readonly ReleaseId[] {
  const kept = new Set(to.securityFixes ?? []);
  return (from.securityFixes ?? []).filter((id) => !kept.has(id));
}

/** What a plan carries about it: nothing where nothing is lost. */
export function regressionOf(lost: readonly ReleaseId[]): {
  readonly securityFixesLost?: readonly ReleaseId[];
} {
  return lost.length === 0 ? {} : { securityFixesLost: lost };
}

export function regressionWarnings(lost: readonly ReleaseId[]): readonly string[] {
  return lost.length === 0
    ? []
    : [`the security fix of ${lost.join(', ')} would be gone: this needs --accept-security-regression`];
}

/**
 * Throws `security-regression` where a plan takes a security fix back and nobody said that it may. `command` is
 * what was typed.
 */
export function assertRegressionAccepted(plan: Plan, accepted: boolean | undefined, command: string): void {
  const lost = plan.securityFixesLost ?? [];
  if (lost.length === 0 || accepted === true) return;
  throw new UnshipError('security-regression', {
    happened: `going from ${plan.from} to ${plan.to} takes back the security fix of ${lost.join(', ')}`,
    done: 'nothing',
    next: `fix it forward, or ${command} --accept-security-regression`,
  });
}
