import type { Application, ReleaseRequest } from '../../domain/application.ts';
import { formatDuration } from '../../domain/duration.ts';
import { shortCommit } from '../../domain/names.ts';
import type { Refusal } from '../../domain/plan.ts';
import { refusalError } from '../../domain/refusal-error.ts';
import type { Release } from '../../domain/release.ts';
import type { PreparedRelease } from '../../domain/report.ts';
import { carryOut } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { labelled } from '../output/layout.ts';
import { rehearsalText, surfacesText } from '../output/list-screens.ts';
import { lost } from '../output/plan-screen.ts';

export function releaseRequest(context: CommandContext): ReleaseRequest {
  const [ref] = context.arguments;
  const only = context.options.list('only');
  return {
    ...context.runOptions(),
    dryRun: context.options.flag('dry-run'),
    securityFix: context.options.flag('security-fix'),
    acceptsSecurityRegression: context.options.flag('accept-security-regression'),
    ...(ref === undefined ? {} : { ref }),
    ...(only === undefined ? {} : { only }),
  };
}

/** Throws the refusal as an error. */
export function prepared(answer: PreparedRelease | Refusal): PreparedRelease {
  if ('refused' in answer) throw refusalError(answer);
  return answer;
}

export async function run(context: CommandContext): Promise<Answer> {
  const application = await context.application();
  const ready = prepared(await application.prepareRelease(releaseRequest(context)));
  if (context.options.flag('dry-run')) {
    const plan = await carryOut(context, application, ready.plan, '');
    return {
      ...plan,
      document: { schema: 'unship.release/1', ...ready },
      screen: [...preparedScreen(ready), '', ...plan.screen],
    };
  }
  const question = `Release ${ready.release.id}?`;
  const answer = await carryOut(context, application, ready.plan, question, preparedScreen(ready));
  await remember(context, application, ready.release);
  return answer;
}

/** What is about to go out and what its way back costs, as it was just tried. */
export function preparedScreen({ release, plan, rehearsal }: PreparedRelease): readonly string[] {
  const after = plan.from === null ? 'the first release' : `after ${plan.from}`;
  const back =
    plan.from === null
      ? 'none: there is nothing to go back to yet'
      : rehearsal === null
        ? 'not rehearsed'
        : rehearsalText(rehearsal);
  return [
    `${release.id} ${after}: ${changedText(release)}`,
    ...labelled('Commit', shortCommit(release.commit)),
    ...labelled('Way back', back),
    ...labelled(
      'Release',
      `about ${formatDuration(plan.estimateMs)}, ${lost(plan.rowsLost, !plan.lossUncertain)}`,
    ),
    ...plan.warnings.flatMap((warning) => labelled('Warning', warning)),
  ];
}

function changedText(release: Release): string {
  const changed = Object.entries(release.surfaces).filter(([, one]) => one.since === release.id);
  if (changed.length === 0) return `nothing changes (${surfacesText(release)})`;
  return changed.map(([name, one]) => `${name} ${one.label}`).join(', ');
}

/**
 * The way back must not depend on a file that a bad commit can break, so what was released with is kept. A run
 * that failed or was paused may have changed something too.
 */
export async function remember(
  context: CommandContext,
  application: Application,
  release: Release,
): Promise<void> {
  const known = await application.releases(20);
  if (!known.some((one) => one.id === release.id)) return;
  const configuration = await context.configuration();
  const { rememberConfiguration } = await import('../../config/last-released.ts');
  rememberConfiguration(configuration.stateBase, configuration, context.host.now());
}
