import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { UnshipError } from '../domain/errors.ts';
import { canonicalJson, type Json } from '../domain/json.ts';
import type { ReleaseId } from '../domain/release.ts';
import { lookAtHealth } from './health.ts';
import { findByVariable, identityOf } from './process-identity.ts';
import type { ProcessPhase, ReleaseSpec, StartResult } from './protocol.ts';
import type { StateFile, SupervisedRelease } from './state.ts';
import { freePort, rotateLog, SupervisedProcess, tailOf, tokenVariable } from './supervised-process.ts';

const firstBackOffMs = 100;
const longestBackOffMs = 30_000;
/** After running so long a crash is a new one, not the next of a series. */
const steadyMs = 60_000;
const lookMs = 2_000;
/** A look with less time than this that gets no answer proves nothing. */
const shortestLookMs = 100;
const rotateEveryMs = 10_000;

interface Unit {
  readonly spec: ReleaseSpec;
  process: SupervisedProcess;
  port: number;
  phase: ProcessPhase;
  crashes: number;
  startedAt: number;
  retry?: NodeJS.Timeout;
  restarting?: Promise<void>;
}

/** How often a release is started that finds its port taken. */
const startAttempts = 3;

function isPortTaken(log: string, port: number): boolean {
  return /EADDRINUSE|address already in use/i.test(log) && log.includes(String(port));
}

/** Starts, restarts, adopts and stops the processes of releases. Every process is written down as it changes. */
export class Supervisor {
  readonly #units = new Map<ReleaseId, Unit>();
  readonly #starting = new Map<ReleaseId, Promise<StartResult>>();
  readonly #state: StateFile;
  readonly #folder: string;
  readonly #report: (text: string) => void;
  readonly #rotation: NodeJS.Timeout;
  #closed = false;

  constructor(state: StateFile, folder: string, report: (text: string) => void) {
    this.#state = state;
    this.#folder = folder;
    this.#report = report;
    this.#rotation = setInterval(() => void this.#rotate(), rotateEveryMs).unref();
  }

  /** Takes over what still lives since the last gateway; starts again, and returns, what was to run and does not. */
  async adopt(): Promise<readonly ReleaseId[]> {
    const restarted: ReleaseId[] = [];
    for (const entry of Object.values(this.#state.current.releases)) {
      const { release } = entry.spec;
      const found = this.#findProcess(entry);
      if (found !== null) {
        this.#watch(entry, found);
        this.#report(`${release}: adopted process ${found.pid}`);
        await this.#record(release, found);
      } else if (entry.proven) {
        this.#report(`${release}: its process is gone, started again`);
        await this.#launch(entry.spec, entry.port, entry.startMs, true);
        restarted.push(release);
      } else {
        await this.#state.updateRelease(release, () => undefined);
      }
    }
    return restarted;
  }

  portOf(release: ReleaseId): number | null {
    const unit = this.#units.get(release);
    return unit === undefined || unit.phase === 'backing-off' ? null : unit.port;
  }

  unit(
    release: ReleaseId,
  ): { phase: ProcessPhase; port: number; pid: number | null; crashes: number } | null {
    const unit = this.#units.get(release);
    if (unit === undefined) return null;
    const standby = unit.phase === 'running' && this.#state.current.releases[release]?.standby === true;
    return {
      phase: standby ? 'standby' : unit.phase,
      port: unit.port,
      pid: unit.process.pid,
      crashes: unit.crashes,
    };
  }

  /** True when this release's process was made from just this spec, whoever's PATH it was started with. */
  runs(spec: ReleaseSpec): boolean {
    const unit = this.#units.get(spec.release);
    return unit !== undefined && sameSpec(unit.spec, spec);
  }

  /** Starts a process and waits until it is healthy; on any failure it is stopped and forgotten again. */
  start(spec: ReleaseSpec): Promise<StartResult> {
    const before = this.#starting.get(spec.release);
    if (before !== undefined) return before;
    const begun = this.#start(spec).finally(() => this.#starting.delete(spec.release));
    this.#starting.set(spec.release, begun);
    return begun;
  }

  async #start(spec: ReleaseSpec, attempt = 1): Promise<StartResult> {
    const began = performance.now();
    const before = this.#units.get(spec.release);
    const unit = before?.process.alive ? before : await this.#launch(spec, null, 0, false);
    const seen = await this.#untilHealthy(unit, spec.startWithinMs);
    if (seen !== null) {
      const tail = await tailOf(this.logOf(spec.release));
      const hasEnded = !unit.process.alive;
      await this.stop(spec.release, Math.min(spec.drainMs, 2_000));
      // The port was free when it was chosen; somebody else was faster.
      if (hasEnded && attempt < startAttempts && isPortTaken(tail, unit.port)) {
        this.#report(`${spec.release}: port ${unit.port} was taken meanwhile; started again on another`);
        return this.#start(spec, attempt + 1);
      }
      throw new UnshipError('target-unhealthy', {
        happened: `${spec.release} was started on port ${unit.port} and did not become healthy: ${seen}${tail === '' ? '' : `\n${tail}`}`,
        done: 'its process was stopped again; traffic was not touched',
      });
    }
    const startMs = Math.round(performance.now() - began);
    await this.#state.updateRelease(spec.release, (entry) => entry && { ...entry, startMs, proven: true });
    return { port: unit.port, startMs, already: false };
  }

  /** Null when it passed; otherwise what was seen last. */
  async #untilHealthy(unit: Unit, withinMs: number): Promise<string | null> {
    const deadline = performance.now() + withinMs;
    let end: string | undefined;
    let seen: string | undefined;
    void unit.process.ended.then((how) => {
      end = how;
    });
    for (let pause = 15; ; pause = Math.min(pause * 1.5, 100)) {
      const left = deadline - performance.now();
      const look = await lookAtHealth(
        unit.port,
        unit.spec.health,
        Math.min(left, Math.max(lookMs, withinMs / 3)),
      );
      if (end !== undefined) return `its process ended (${end})`;
      // A last look that was given no time to be answered says nothing; what was seen before it does.
      if (look.healthy || left >= shortestLookMs || seen === undefined) seen = look.seen;
      if (look.healthy) {
        if (unit.phase === 'starting') unit.phase = 'running';
        return null;
      }
      if (unit.phase === 'stopping') return 'it was stopped meanwhile';
      if (performance.now() + pause >= deadline) return `${seen} after ${Math.round(withinMs / 1000)} s`;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async standby(release: ReleaseId, signal: NodeJS.Signals, standby: boolean): Promise<void> {
    const unit = this.#units.get(release);
    if (unit === undefined) return;
    await this.#state.updateRelease(release, (entry) => entry && { ...entry, standby });
    unit.process.signal(signal);
  }

  async stop(release: ReleaseId, withinMs: number): Promise<void> {
    clearTimeout(this.#units.get(release)?.retry);
    await this.#units.get(release)?.restarting;
    const unit = this.#units.get(release);
    if (unit === undefined) return;
    unit.phase = 'stopping';
    clearTimeout(unit.retry);
    await unit.process.stop(withinMs);
    this.#units.delete(release);
    await this.#state.updateRelease(release, () => undefined);
  }

  async stopAll(withinMs: number): Promise<void> {
    await Promise.all([...this.#units.keys()].map((release) => this.stop(release, withinMs)));
  }

  /** Ends the supervision; processes go on and are adopted by the next gateway. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#rotation);
    for (const unit of this.#units.values()) clearTimeout(unit.retry);
  }

  logOf(release: ReleaseId): string {
    return join(this.#folder, 'logs', `${release}.log`);
  }

  async #launch(
    spec: ReleaseSpec,
    preferred: number | null,
    startMs: number,
    proven: boolean,
  ): Promise<Unit> {
    const taken = new Set([...this.#units.values()].map((unit) => unit.port));
    const port = await freePort(preferred, taken);
    const token = randomBytes(16).toString('hex');
    const entry: SupervisedRelease = {
      spec,
      port,
      pid: null,
      identity: null,
      token,
      startMs,
      standby: false,
      proven,
    };
    await this.#state.updateRelease(spec.release, () => entry);
    const child = SupervisedProcess.spawn(spec, port, token, this.logOf(spec.release));
    const unit = this.#watch(entry, child);
    await this.#record(spec.release, child);
    return unit;
  }

  #record(release: ReleaseId, { pid, identity }: SupervisedProcess): Promise<unknown> {
    return this.#state.updateRelease(release, (entry) => entry && { ...entry, pid, identity });
  }

  #watch(entry: SupervisedRelease, child: SupervisedProcess): Unit {
    const { release } = entry.spec;
    const crashes = this.#units.get(release)?.crashes ?? 0;
    const unit: Unit = {
      spec: entry.spec,
      process: child,
      port: entry.port,
      phase: entry.proven ? 'running' : 'starting',
      crashes,
      startedAt: performance.now(),
    };
    this.#units.set(release, unit);
    void child.ended.then((how) => this.#ended(unit, how));
    return unit;
  }

  #ended(unit: Unit, how: string): void {
    unit.process.killRest();
    const { release } = unit.spec;
    // A first start that fails is its starter's to report; a stop is wanted.
    if (this.#closed || unit.phase !== 'running' || this.#units.get(release) !== unit) return;
    if (performance.now() - unit.startedAt > steadyMs) unit.crashes = 0;
    const wait = Math.min(firstBackOffMs * 2 ** unit.crashes, longestBackOffMs);
    unit.crashes += 1;
    unit.phase = 'backing-off';
    this.#report(`${release}: its process ended unexpectedly (${how}); started again in ${wait} ms`);
    this.#retryIn(unit, wait);
  }

  #retryIn(unit: Unit, ms: number): void {
    unit.retry = setTimeout(() => {
      unit.restarting = this.#restart(unit);
    }, ms);
  }

  async #restart(unit: Unit): Promise<void> {
    try {
      const startMs = this.#state.current.releases[unit.spec.release]?.startMs ?? 0;
      await this.#launch(unit.spec, unit.port, startMs, true);
    } catch (error) {
      this.#report(`${unit.spec.release}: could not be started again: ${String(error)}`);
      this.#retryIn(unit, longestBackOffMs);
    }
  }

  #findProcess({ pid, identity, token }: SupervisedRelease): SupervisedProcess | null {
    if (pid !== null) return identity === null ? null : SupervisedProcess.adopt(pid, identity);
    const found = findByVariable(tokenVariable, token);
    const itsIdentity = found === null ? null : identityOf(found);
    return found === null || itsIdentity === null ? null : SupervisedProcess.adopt(found, itsIdentity);
  }

  async #rotate(): Promise<void> {
    for (const release of this.#units.keys()) {
      await rotateLog(this.logOf(release)).catch((error) => this.#report(`log of ${release}: ${error}`));
    }
  }
}

/** Shells and npm scripts each have their own PATH: a warm process is not stopped for that. */
const incidental: ReadonlySet<string> = new Set(['PATH', 'HOME', 'LANG']);

function sameSpec(a: ReleaseSpec, b: ReleaseSpec): boolean {
  const essence = ({ commit, command, folder, environment }: ReleaseSpec): string => {
    const variables = Object.entries(environment).filter(([name]) => !incidental.has(name));
    return canonicalJson([commit, command, folder, Object.fromEntries(variables)] as Json);
  };
  return essence(a) === essence(b);
}
