import type { CheckResult } from '../domain/health.ts';
import type { LookContext } from '../surfaces/surface.port.ts';

export type { CheckResult };

/** A question asked of the live application. It never throws: not being able to ask is a result too. */
export interface Check {
  readonly name: string;
  run(context: LookContext): Promise<CheckResult>;
}
