import type { Json } from './json.ts';

/** What a watch concludes. `inconclusive`: it could not tell; that is never taken for healthy. */
type Verdict = 'healthy' | 'unhealthy' | 'inconclusive';

/** One look at one check. `unknown`: it could not be asked; that is neither a pass nor a failure. */
export interface CheckResult {
  readonly check: string;
  readonly verdict: 'pass' | 'fail' | 'unknown';
  /** What was seen: `GET /health: 500`. */
  readonly seen: string;
  readonly ms: number;
}

/** What a watch has seen of one check. */
interface CheckEvidence {
  readonly passed: number;
  readonly failed: number;
  readonly unknown: number;
  readonly slowestMs: number;
  /** Milliseconds since the epoch; absent while it has not failed. */
  readonly firstFailureAt?: number;
  /** The newest answer of each kind. */
  readonly lastSeen: { readonly pass?: string; readonly fail?: string; readonly unknown?: string };
}

/**
 * What a watch has seen so far: plain data, so that a watch that goes on in another process starts from it. A
 * look is one question to every check: it fails when one fails, passes when all pass, and is unknown otherwise.
 */
export interface WatchEvidence {
  readonly passed: number;
  readonly failed: number;
  readonly unknown: number;
  /** Failed looks in a row, at the end. A look that told nothing neither lengthens nor ends them. */
  readonly streak: number;
  /** Milliseconds since the epoch; absent while no look has failed. */
  readonly firstFailureAt?: number;
  readonly checks: { readonly [check: string]: CheckEvidence };
}

export interface WatchPolicy {
  readonly bakeMs: number;
  readonly everyMs: number;
  /** So many failed looks in a row are a verdict. */
  readonly failures: number;
}

/** A verdict with its reason in one sentence, which a person is shown as it is. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: string;
}

export const noEvidence: WatchEvidence = { passed: 0, failed: 0, unknown: 0, streak: 0, checks: {} };

/** Below this part of the looks that fit into the bake time, a watch has seen too little to call it healthy. */
const neededPart = 0.5;
/** Above this part of failed looks it flaps: not the row of failures that condemns it, and not healthy. */
const toleratedPart = 0.1;

function lookVerdict(results: readonly CheckResult[]): CheckResult['verdict'] {
  if (results.some(({ verdict }) => verdict === 'fail')) return 'fail';
  return results.length > 0 && results.every(({ verdict }) => verdict === 'pass') ? 'pass' : 'unknown';
}

const noCheckEvidence: CheckEvidence = { passed: 0, failed: 0, unknown: 0, slowestMs: 0, lastSeen: {} };

function addResult(before: CheckEvidence, { verdict, seen, ms }: CheckResult, at: number): CheckEvidence {
  const failedAt = before.firstFailureAt ?? (verdict === 'fail' ? at : undefined);
  return {
    passed: before.passed + (verdict === 'pass' ? 1 : 0),
    failed: before.failed + (verdict === 'fail' ? 1 : 0),
    unknown: before.unknown + (verdict === 'unknown' ? 1 : 0),
    slowestMs: Math.max(before.slowestMs, ms),
    lastSeen: { ...before.lastSeen, [verdict]: seen },
    ...(failedAt === undefined ? {} : { firstFailureAt: failedAt }),
  };
}

/** The evidence after one more look; `at` in milliseconds since the epoch. */
export function addLook(evidence: WatchEvidence, results: readonly CheckResult[], at: number): WatchEvidence {
  const look = lookVerdict(results);
  const failedAt = evidence.firstFailureAt ?? (look === 'fail' ? at : undefined);
  const checks = new Map(Object.entries(evidence.checks));
  for (const result of results) {
    checks.set(result.check, addResult(checks.get(result.check) ?? noCheckEvidence, result, at));
  }
  return {
    passed: evidence.passed + (look === 'pass' ? 1 : 0),
    failed: evidence.failed + (look === 'fail' ? 1 : 0),
    unknown: evidence.unknown + (look === 'unknown' ? 1 : 0),
    streak: look === 'fail' ? evidence.streak + 1 : look === 'pass' ? 0 : evidence.streak,
    checks: Object.fromEntries(checks),
    ...(failedAt === undefined ? {} : { firstFailureAt: failedAt }),
  };
}

/** Looks that fit into the bake time: the first at its start. */
function plannedLooks({ bakeMs, everyMs }: WatchPolicy): number {
  return Math.max(1, Math.floor(bakeMs / everyMs));
}

/** Looks with an answer that a healthy verdict needs: as many as would have condemned it, where so many fit. */
export function neededLooks(policy: WatchPolicy): number {
  const planned = plannedLooks(policy);
  return Math.min(planned, Math.max(policy.failures, Math.ceil(planned * neededPart)));
}

/** All looks, with an answer or without. */
export function looksOf({ passed, failed, unknown }: WatchEvidence): number {
  return passed + failed + unknown;
}

function lastSeen(evidence: WatchEvidence, kind: CheckResult['verdict']): string {
  const seen = Object.values(evidence.checks).flatMap((check) => check.lastSeen[kind] ?? []);
  return seen.length === 0 ? '' : `: ${seen.join('; ')}`;
}

/** The verdict that needs no waiting for the end of the bake time. */
export function judgeSoFar(evidence: WatchEvidence, policy: WatchPolicy): Judgement | undefined {
  if (evidence.streak < policy.failures) return undefined;
  const looks = `${evidence.streak} failed looks in a row`;
  return { verdict: 'unhealthy', reason: `${looks}${lastSeen(evidence, 'fail')}` };
}

/** The verdict at the end of the bake time. */
export function judge(evidence: WatchEvidence, policy: WatchPolicy): Judgement {
  const early = judgeSoFar(evidence, policy);
  if (early !== undefined) return early;
  const answered = evidence.passed + evidence.failed;
  if (answered === 0) {
    return { verdict: 'inconclusive', reason: `no check could be asked${lastSeen(evidence, 'unknown')}` };
  }
  if (answered < neededLooks(policy)) {
    const seen = evidence.unknown > 0 ? lastSeen(evidence, 'unknown') : '';
    const reason = `too few looks had an answer: ${answered}, ${neededLooks(policy)} are needed${seen}`;
    return { verdict: 'inconclusive', reason };
  }
  if (evidence.streak > 0 || evidence.failed > answered * toleratedPart) {
    const reason = `${evidence.failed} of ${answered} looks failed, never ${policy.failures} in a row`;
    return { verdict: 'inconclusive', reason: `${reason}${lastSeen(evidence, 'fail')}` };
  }
  return { verdict: 'healthy', reason: `${evidence.passed} of ${looksOf(evidence)} looks passed` };
}

/** Reads evidence back from where it was kept; undefined when it is not evidence. */
export function readEvidence(value: Json | undefined): WatchEvidence | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { passed, failed, unknown, streak, checks } = value as Partial<WatchEvidence>;
  const counts = [passed, failed, unknown, streak];
  if (!counts.every((count) => Number.isSafeInteger(count) && Number(count) >= 0)) return undefined;
  return typeof checks === 'object' && checks !== null ? (value as unknown as WatchEvidence) : undefined;
}
