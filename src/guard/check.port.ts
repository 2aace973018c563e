import type { LookContext } from '../surfaces/surface.port.ts';

/** One look at one check. `unknown`: it could not be asked; that is neither a pass nor a failure. */
export interface CheckResult {
  readonly check: string;
  readonly verdict: 'pass' | 'fail' | 'unknown';
  /** What was seen: `GET /health: 500`. */
  readonly seen: string;
  readonly ms: number;
}

/** A question asked of the live application. It never throws: not being able to ask is a result too. */
export interface Check {
  readonly name: string;
  run(context: LookContext): Promise<CheckResult>;
}
