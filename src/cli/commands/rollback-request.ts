import type { RollbackRequest } from '../../domain/application.ts';
import type { Strategy } from '../../domain/plan.ts';
import { isReleaseId } from '../../domain/release.ts';
import type { CommandContext } from '../context.ts';
import { usage } from '../parse.ts';

/** The target may stand as argument or behind `--to`; nobody has to remember which. */
export function rollbackRequest(context: CommandContext): RollbackRequest {
  const { options } = context;
  const [argument] = context.arguments;
  const named = options.text('to');
  if (argument !== undefined && named !== undefined && argument !== named) {
    throw usage(`both ${argument} and --to ${named} were given`);
  }
  const to = argument ?? named;
  if (to !== undefined && !isReleaseId(to)) {
    throw usage(`\`${to}\` is no release; they are named r1, r2, ...`, 'unship releases');
  }
  const only = options.list('only');
  const strategy = options.text('strategy') as Strategy | undefined;
  return {
    countRisk: true,
    ...(to === undefined ? {} : { to }),
    ...(only === undefined ? {} : { only }),
    ...(strategy === undefined ? {} : { strategy }),
  };
}

/** A run's number; undefined when none was named. Throws `usage-invalid`. */
export function runNumber(context: CommandContext): number | undefined {
  const [text] = context.arguments;
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw usage(`\`${text}\` is no run; they are numbered 1, 2, ...`, 'unship runs');
}
