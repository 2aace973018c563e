import type { Application } from '../domain/application.ts';
import { isUnshipError } from '../domain/errors.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { refusalError } from '../domain/refusal-error.ts';
import type { RunResult } from '../domain/report.ts';
import type { RunStatus } from '../domain/run.ts';
import { assertRegressionAccepted } from '../domain/security-fix.ts';
import { agree, requirePlan } from './consent.ts';
import type { Answer, CommandContext } from './context.ts';
import { exitOfRun } from './exit-codes.ts';
import { planScreen, planSummary } from './output/plan-screen.ts';
import { runScreen } from './output/run-screen.ts';

/** The plan, or the refusal as an error. */
export function planned(answer: Plan | Refusal): Plan {
  if (isRefusal(answer)) throw refusalError(answer);
  return answer;
}

/** A plan as the answer of a command: for `plan` and `--dry-run`. */
export async function planAnswer(
  context: CommandContext,
  application: Application,
  plan: Plan,
  run: string | undefined,
): Promise<Answer> {
  // Commits and health, for the screen; the plan itself only names them.
  const screen = planScreen(plan, {
    releases: await application.releasesOf(plan),
    madeAt: context.host.now(),
    details: context.options.flag('details'),
    ...(run === undefined ? {} : { run: withEnvironment(context, run) }),
  });
  return { exit: 0, document: plan, screen };
}

/** Commands that are shown must work as they stand, so they name the environment when it was named. */
function withEnvironment(context: CommandContext, command: string): string {
  const name = context.options.text('env');
  return name === undefined ? command : `${command} --env ${name}`;
}

/** How often a plan is made anew because the state moved between making it and starting it. */
const mostPlans = 4;

/**
 * The same for a way back, which must not fail because the release that it ends was still moving: it is planned
 * anew, shown and asked about again. `--plan HASH` wants just that one.
 */
export async function carryBack(
  context: CommandContext,
  application: Application,
  make: () => Promise<Plan | Refusal>,
  question: (plan: Plan) => string,
): Promise<Answer> {
  for (let plans = 1; ; plans += 1) {
    const plan = planned(await make());
    try {
      return await carryOut(context, application, plan, question(plan));
    } catch (error) {
      const hasMoved = isUnshipError(error) && error.slug === 'plan-stale';
      if (!hasMoved || plans === mostPlans || context.options.flag('plan')) throw error;
      context.terminal.note(['The state has moved meanwhile. This is the plan as it is now.', '']);
    }
  }
}

/**
 * Shows a plan, asks, and runs it. `question` follows the one-line summary: `Roll back to r41?`.
 */
export async function carryOut(
  context: CommandContext,
  application: Application,
  plan: Plan,
  question: string,
  shown?: readonly string[],
): Promise<Answer> {
  requirePlan(context, plan);
  if (context.options.flag('dry-run')) return await planAnswer(context, application, plan, undefined);
  const summary = planSummary(plan);
  const wholePlan = context.options.flag('plan')
    ? undefined
    : (await planAnswer(context, application, plan, undefined)).screen;
  // Before anything is asked: a yes to the plan is no yes to that.
  const acceptsSecurityRegression = context.options.flag('accept-security-regression');
  assertRegressionAccepted(plan, acceptsSecurityRegression, typed(context));
  const acceptedLossHash = await askAbout(context, plan, shown ?? wholePlan, `${summary}. ${question}`);
  const reason = context.options.text('reason');
  const result = await application.execute(plan, {
    ...context.runOptions(),
    takeOver: context.options.flag('take-over'),
    acceptsSecurityRegression,
    // It goes into the journal, and from there everywhere.
    ...(reason === undefined ? {} : { reason: context.mask(reason) }),
    ...(acceptedLossHash === undefined ? {} : { acceptedLossHash }),
    consentedBeforehand: context.options.flag('accept-data-loss'),
  });
  return runAnswer(result);
}

/** As it was typed, so that it can be typed again. */
function typed(context: CommandContext): string {
  const words = context.host.argv.map((word) => (/\s/.test(word) ? JSON.stringify(word) : word));
  return ['unship', ...words].join(' ');
}

async function askAbout(
  context: CommandContext,
  plan: Plan,
  screen: readonly string[] | undefined,
  question: string,
): Promise<string | undefined> {
  // A question needs what it is about on the screen, even when progress is silenced.
  if (screen !== undefined) {
    if (context.prompt.possible && !context.options.flag('yes')) context.terminal.alert([...screen, '']);
    else context.terminal.note([...screen, '']);
  }
  return await agree(context, plan, question);
}

export function runAnswer(result: RunResult, wanted: RunStatus = 'done'): Answer {
  return { exit: exitOfRun(result.status, wanted), document: result, screen: runScreen(result, wanted) };
}
