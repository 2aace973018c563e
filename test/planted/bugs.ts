/**
 * Mistakes that somebody could make in this program, put into it on purpose: text that stands once in a file, and what
 * stands there instead. Whoever looks for faults must find them; that is how we know that they can.
 */
export interface PlantedBug {
  readonly name: string;
  /** Relative to the repository. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The kind of plan in which kills find it, where schedules of chance seldom meet it. */
  readonly shape?: string;
}

const engine = 'src/engine/engine.ts';
const stepRunner = 'src/engine/step-runner.ts';
const session = 'src/engine/session.ts';
const run = 'src/domain/run.ts';
const runs = 'src/app/runs.ts';
const records = 'src/app/records.ts';

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'an effect comes before its journal entry',
    file: stepRunner,
    find: `await journal.append({ type: 'step', step: step.id, status: 'applying', attempt: attempt + 1 });`,
    replace: `void 0;`,
  },
  {
    name: 'what an action answered is not journaled',
    file: stepRunner,
    find: `await journal.append({ type: 'step', step: step.id, status: 'applied', attempt, output: applied });`,
    replace: `await journal.append({ type: 'step', step: step.id, status: 'applied', attempt });`,
  },
  {
    name: 'an answer is trusted, and nobody looks at the effect',
    file: stepRunner,
    find: `handler.verify({ ...context, signal }, step.input, output),`,
    replace: `Promise.resolve({ observed: 'fine' }),`,
  },
  {
    name: 'a step has no time limit',
    file: stepRunner,
    find: `clock.sleep(step.timeoutMs, ended.signal),`,
    replace: `clock.sleep(1e12, ended.signal),`,
  },
  {
    name: 'a rollback gives up at the first failure',
    file: stepRunner,
    find: `block: [300, 1500, 4000],`,
    replace: `block: [],`,
    shape: 'rollback-keep-schema',
  },
  {
    name: 'a step whose undo failed counts as undone',
    file: stepRunner,
    find: `if (delay === undefined) {
        await journal.append({ ...note, status: 'undo-failed', error: errorRecord(error) });
        return { outcome: 'failed', error };
      }`,
    replace: `if (delay === undefined) {
        await journal.append({ ...note, status: 'undone' });
        return { outcome: 'verified' };
      }`,
  },
  {
    name: 'another key at every attempt',
    file: engine,
    find: `idempotencyKey: idempotencyKey(application, environment, journal.run, step.id),`,
    replace: `idempotencyKey: this.#parts.runtime.ids.random(),`,
  },
  {
    name: 'undo in the order of the graph',
    file: engine,
    find: `for (const step of [...topologicalOrder(journal.plan.steps)].reverse()) {`,
    replace: `for (const step of [...topologicalOrder(journal.plan.steps)]) {`,
  },
  {
    name: 'undo leaves out what was only begun',
    file: engine,
    find: `if (!wasTried(state) || state.status === 'undone') continue;`,
    replace: `if (state.status !== 'verified') continue;`,
  },
  {
    name: 'a run that went back goes forward when it is resumed',
    file: engine,
    find: `const undoing = isGoingBack(journal.state);`,
    replace: `const undoing = false;`,
  },
  {
    name: 'a step that failed is skipped when the run is resumed',
    file: engine,
    find: `await journal.append({ type: 'step', step: step.id, status: 'pending', attempt: state.attempt });`,
    replace: `await journal.append({ type: 'step', step: step.id, status: 'verified', attempt: state.attempt });`,
  },
  {
    name: 'a rollback that is stuck counts as done',
    file: engine,
    find: `const status = untouched && isFinal(error) ? 'failed' : 'blocked';`,
    replace: `const status = untouched && isFinal(error) ? 'failed' : 'done';`,
  },
  {
    name: 'a hold that was lost with its process is not made again',
    file: engine,
    find: `const isLost = isApplied(state) && isNeededAgain(step, journal);`,
    replace: `const isLost = false;`,
  },
  {
    name: 'a failed release stays as it is',
    file: engine,
    find: `if (step.onFailure === 'undo' && !isPastNoReturn(journal.plan, journal.state)) {
      return await this.#undoOwn(journal, session, options, error);
    }`,
    replace: ``,
  },
  {
    name: 'a run that is cancelled goes on when it is resumed',
    file: engine,
    find: `if (!(await this.#isCancelled(journal))) return await this.#drive(journal, session, options);`,
    replace: `return await this.#drive(journal, session, options);`,
    shape: 'cancel',
  },
  {
    name: 'nobody gives signs of life',
    file: session,
    find: `await this.#renew().catch(() => undefined);`,
    replace: `await Promise.resolve();`,
  },
  {
    name: 'the lease is not given back',
    file: session,
    find: `await this.#inTurn(async () => await this.#store.releaseLease(this.#fence));`,
    replace: ``,
  },
  {
    name: 'a hold that an undo has made is not made again',
    file: engine,
    find: `await this.#reopenUndone(journal);`,
    replace: `void 0;`,
    shape: 'release-cancelled',
  },
  {
    name: 'a restore that was cut off is not taken back',
    file: 'src/surfaces/database/actions.ts',
    find: `? (await port.restored(context, new Input(input).text('backup')))?.safetyBackup`,
    replace: `? undefined`,
    shape: 'rollback-cancelled',
  },
  {
    name: 'a release is carried out as it was drafted, whatever has happened since',
    file: 'src/app/releasing.ts',
    find: `if (failures.length === 0) await requireStillSo(this.#parts, draft, live, facts);`,
    replace: ``,
  },
  {
    name: 'a lease is taken from whoever holds it',
    file: 'src/store/lease-row.ts',
    find: `if (held.expiresAt <= request.now) return true;`,
    replace: `return true;`,
  },
  {
    name: 'a lease never expires',
    file: 'src/store/lease-row.ts',
    find: `if (held.expiresAt <= request.now) return true;`,
    replace: ``,
  },
  {
    name: 'a step does not wait for those before it',
    file: run,
    find: `return open && step.after.every(isPassed);`,
    replace: `return open;`,
  },
  {
    name: 'an output is forgotten with the next entry',
    file: run,
    find: `...(entry.output === undefined
        ? before.output === undefined
          ? {}
          : { output: before.output }
        : { output: entry.output }),`,
    replace: `...(entry.output === undefined ? {} : { output: entry.output }),`,
  },
  {
    name: 'a step that failed counts as settled',
    file: run,
    find: `return state.status === 'verified' || (step.importance === 'best-effort' && state.status === 'failed');`,
    replace: `return state.status === 'verified' || state.status === 'failed';`,
  },
  {
    name: 'a run may be taken back beyond its point of no return',
    file: run,
    find: `step.pointOfNoReturn && wasTried(state.steps[step.id]) && state.steps[step.id]?.status !== 'undone',`,
    replace: `false && wasTried(state.steps[step.id]),`,
  },
  {
    name: 'a plan is carried out though the world has changed',
    file: runs,
    find: `if (now.hash === made.plan.hash) return now;`,
    replace: `return made.plan;`,
  },
  {
    name: 'consent to a loss has no ceiling',
    file: runs,
    find: `return { rowsLost: ceiling, by: request.user };`,
    replace: `return { rowsLost: 1_000_000, by: request.user };`,
  },
  {
    name: 'loss needs no consent',
    file: runs,
    find: `if (options.acceptedLossHash !== plan.hash) {`,
    replace: `if (false as boolean) {`,
  },
  {
    name: 'what an earlier holder has sent may still arrive',
    file: runs,
    find: `await fenceOff(this.#parts, session.fence);`,
    replace: ``,
    shape: 'release-code',
  },
  {
    name: 'whoever goes on with a run does not tell the surfaces',
    file: runs,
    find: `await fenceOff(this.#parts, session.fence, surfacesOf(plan));`,
    replace: ``,
  },
  {
    name: 'a release passes by a run that has not ended',
    file: runs,
    find: `if (blocking === undefined) return;`,
    replace: `if (blocking === undefined || blocking !== undefined) return;`,
  },
  {
    name: 'a run that a rollback has ended stays open',
    file: runs,
    find: `await store.append(fence, run.id, [{ type: 'run', status: 'superseded', note }]);`,
    replace: `void [run, note];`,
  },
  {
    name: 'the release before stays recorded as live',
    file: records,
    find: `changes.push({ ...(await known(store, read.release('previous'))), deployment: 'superseded' });`,
    replace: ``,
  },
  {
    name: 'the bad commit is not quarantined',
    file: records,
    find: `if (entry !== null && read.flag('quarantine')) await store.quarantine(fence, entry);`,
    replace: ``,
  },
  {
    name: 'migrations are taken back in the order in which they came',
    file: 'src/surfaces/database/actions.ts',
    find: `await port.migrateDown(context, reversed(request(new Input(input))));`,
    replace: `await port.migrateDown(context, { ...request(new Input(input)), versions: [] });`,
  },
  {
    name: 'requests are let go before the schema is back',
    file: 'src/surfaces/web/actions.ts',
    find: `if (read.flag('held')) {
          await port.hold(context);
          // Behind it the schema goes back: an answer alone is no reason to believe that nobody meets it.
          await requireHold(context);
          return;
        }`,
    replace: ``,
  },
  {
    name: 'a restore loses whatever it loses',
    file: 'src/surfaces/database/actions.ts',
    find: `maximumRowsLost: context.maximumRowsLost,`,
    replace: `maximumRowsLost: 1_000_000,`,
  },
];
