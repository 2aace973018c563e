import { resolve } from 'node:path';
import type { RunOptions, StandbyRequest } from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import { liveRelease } from '../domain/release.ts';
import type { StandbyReport } from '../domain/report.ts';
import type { WorkContext } from '../surfaces/surface.port.ts';
import type { Parts } from './parts.ts';
import type { Runs } from './runs.ts';

/**
 * What stands by for a desktop surface. With `from`, the good code built under a higher version is taken in first;
 * nothing is offered to anybody by that.
 */
export async function standbyReport(
  parts: Parts,
  runs: Runs,
  request: StandbyRequest,
  options: RunOptions,
): Promise<StandbyReport> {
  const { desktops, runtime, store, source, request: opened } = parts;
  const surface = request.surface ?? [...desktops.keys()][0];
  const port = surface === undefined ? undefined : desktops.get(surface);
  if (surface === undefined || port === undefined) {
    const named = request.surface === undefined ? '' : ` ${request.surface}`;
    throw new UnshipError('unknown-surface', {
      happened: `there is no desktop surface${named}`,
      done: 'nothing',
    });
  }
  const live = liveRelease(await store.planningHistory());
  const { from } = request;
  if (from !== undefined) {
    const commit =
      request.ref === undefined ? (live?.surfaces[surface]?.commit ?? '') : await source.resolve(request.ref);
    if (commit === '') {
      throw new UnshipError('usage-invalid', {
        happened: 'the commit whose code this is is not known',
        done: 'nothing',
        next: 'name it: unship desktop standby REF --from FOLDER',
      });
    }
    await runs.underLease(async (fence) => {
      const context: WorkContext = {
        runtime,
        signal: options.signal,
        idempotencyKey: `standby/${surface}/${commit}`,
        fence,
        maximumRowsLost: 0,
        progress: () => {},
      };
      await port.addStandby(context, { folder: resolve(opened.root, from), commit });
    });
  }
  const query = { releases: live === undefined ? [] : [live], countRisk: false };
  const { standby } = await port.observe({ runtime, signal: options.signal }, query);
  if (standby !== null) return { schema: 'unship.standby/1', surface, ...standby };
  const problems = await port.standbyProblems();
  throw new UnshipError('artifact-invalid', {
    happened: [`no standby hotfix lies ready for ${surface}`, ...problems].join('\n'),
    done: 'nothing',
    next: 'build the last good code under a higher version, then unship desktop standby --from FOLDER',
  });
}
