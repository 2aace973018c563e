import { UnshipError } from '../domain/errors.ts';
import { type Plan, shortHash } from '../domain/plan.ts';
import type { CommandContext } from './context.ts';
import { count } from './output/layout.ts';
import { usage } from './parse.ts';
import { declined } from './prompt.ts';

/** Whether the plan can lose anything; what was not counted counts as a loss. */
function losesData(plan: Plan): boolean {
  return plan.rowsLost > 0 || plan.lossUncertain;
}

/** `1,392 rows`, `rows that could not be counted`, `at least 12 rows`. */
function lossText(plan: Plan): string {
  if (!plan.lossUncertain) return `${count(plan.rowsLost)} row${plan.rowsLost === 1 ? '' : 's'}`;
  return plan.rowsLost === 0 ? 'rows that could not be counted' : `at least ${count(plan.rowsLost)} rows`;
}

/** `--plan HASH` runs exactly the plan that was shown. Throws `plan-stale`. */
export function requirePlan(context: CommandContext, plan: Plan): void {
  const wanted = hashOption(context, 'plan');
  if (wanted === undefined || plan.hash.startsWith(wanted)) return;
  throw new UnshipError('plan-stale', {
    happened: `plan ${shortHash(wanted)} was asked for; from what is there now the plan is ${shortHash(plan.hash)}`,
    done: 'nothing',
  });
}

/**
 * A person's yes. Consent to loss is a thing of its own: the hash of this very plan beforehand, or the name of
 * the target typed; `--yes` never gives it. Returns the hash to carry into the run, if any loss was accepted.
 * Throws `consent-missing`, `confirmation-needed`, `declined`.
 */
export async function agree(
  context: CommandContext,
  plan: Plan,
  question: string,
): Promise<string | undefined> {
  const accepted = consentBeforehand(context, plan);
  if (losesData(plan) && !accepted) {
    await consentByTyping(context, plan);
    return plan.hash;
  }
  if (!context.options.flag('yes')) await confirmOrRefuse(context, question);
  return losesData(plan) ? plan.hash : undefined;
}

function consentBeforehand(context: CommandContext, plan: Plan): boolean {
  const given = hashOption(context, 'accept-data-loss');
  if (given === undefined) return false;
  if (plan.hash.startsWith(given)) return true;
  throw new UnshipError('consent-missing', {
    happened: `the consent is for plan ${shortHash(given)}, and the plan is ${shortHash(plan.hash)}: it loses ${lossText(plan)}`,
    done: 'nothing',
    next: 'unship plan, and consent to the figure it shows',
  });
}

async function consentByTyping(context: CommandContext, plan: Plan): Promise<void> {
  if (!context.prompt.possible) {
    throw new UnshipError('consent-missing', {
      happened: `plan ${shortHash(plan.hash)} loses ${lossText(plan)}, and nobody has consented to it`,
      done: 'nothing',
      next: `read the plan, then repeat with --plan ${shortHash(plan.hash)} --accept-data-loss=${shortHash(plan.hash)}`,
    });
  }
  const word = plan.to ?? shortHash(plan.hash);
  if (!(await context.prompt.typed(`Type ${word} to lose ${lossText(plan)}:`, word))) throw declined();
}

export async function confirmOrRefuse(context: CommandContext, question: string): Promise<void> {
  if (context.options.flag('yes')) return;
  if (!context.prompt.possible) {
    throw new UnshipError('confirmation-needed', {
      happened: `nobody answered: ${question}`,
      done: 'nothing',
    });
  }
  if (!(await context.prompt.confirm(question))) throw declined();
}

/** At least the six digits that the screen shows. Throws `usage-invalid`. */
function hashOption(context: CommandContext, name: string): string | undefined {
  const text = context.options.text(name)?.toLowerCase();
  if (text === undefined || /^[0-9a-f]{6,64}$/.test(text)) return text;
  throw usage(`--${name} takes at least six digits of a plan's hash, not \`${text}\``, 'unship plan');
}
