import { formatDuration } from '../domain/duration.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Step } from '../domain/plan.ts';
import { Input } from '../surfaces/input.ts';
import type { ActionHandler, WorkContext } from '../surfaces/surface.port.ts';
import { load } from './loaded-when-needed.ts';
import type { Parts } from './parts.ts';
import { recordAborted, recordGood, recordLive, recordRollback } from './records.ts';

const nothing = async (): Promise<void> => {};

/** The program's own steps: records, waits, watch, messages. Undefined for an action this version doesn't know. */
export function ownHandler(parts: Parts, step: Step, run: number): ActionHandler | undefined {
  const { store, runtime } = parts;
  switch (step.action) {
    case 'unship.record-live':
      return recordLive(store, run);
    case 'unship.record-good':
      return recordGood(store, run);
    case 'unship.record-rollback':
      return recordRollback(store, run, () => runtime.clock.now());
    case 'unship.record-aborted':
      return recordAborted(store);
    case 'unship.approval':
      return approval(parts, run);
    case 'unship.watch':
      return {
        validate: nothing,
        apply: async (context, input) => {
          const { watchRelease } = await load.watch();
          return await watchRelease(parts, run, context, input);
        },
        verify: async (_context, _input, output) => ({ observed: new Input(output).text('summary') }),
      };
    case 'unship.rehearse':
      return {
        validate: nothing,
        apply: async (context, input) => {
          const { rehearseOnCopy } = await load.rehearsal();
          return { ...(await rehearseOnCopy(parts, context, input)) };
        },
        verify: async (_context, _input, output) => ({
          observed: `way back ${formatDuration(new Input(output).number('wayBackMs'))}, ${new Input(output).number('rowsLost')} rows lost`,
        }),
      };
    case 'unship.notify':
      return {
        validate: nothing,
        apply: async (context, input) => {
          const { tellTeam } = await load.incident();
          return await tellTeam(parts, run, context, input);
        },
        verify: async (_context, _input, output) => ({ observed: new Input(output).text('summary') }),
      };
    case 'unship.incident':
      return {
        validate: nothing,
        apply: async (context) => {
          const { draftIncident } = await load.incident();
          return await draftIncident(parts, run, context);
        },
        verify: async (_context, _input, output) => ({ observed: new Input(output).text('draft') }),
      };
    default:
      return undefined;
  }
}

/** Waits for somebody's `unship approve`; the word may have come before the wait, and the first one counts. */
function approval(parts: Parts, run: number): ActionHandler {
  const word = async (context: WorkContext): Promise<Json> => {
    context.progress(`unship approve ${run}`);
    for (;;) {
      const signals = await parts.store.signals(run);
      const given = signals.find((signal) => signal.name === 'approval');
      if (given !== undefined) return { by: given.payload };
      await context.runtime.clock.sleep(500, context.signal);
      if (context.signal.aborted)
        throw new UnshipError('paused', { happened: 'the run was paused while it waited' });
    }
  };
  return {
    validate: nothing,
    apply: word,
    verify: async (_context, _input, output) => ({
      observed: `approved by ${new Input(output).optionalText('by') ?? 'somebody'}`,
    }),
  };
}
