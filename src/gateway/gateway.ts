import { UnshipError } from '../domain/errors.ts';
import type { ReleaseId } from '../domain/release.ts';
import { lookAtHealth } from './health.ts';
import { HoldWatch, leftBehind, newHold } from './hold.ts';
import { Listener } from './listener.ts';
import {
  type CheckResult,
  type GatewayRequest,
  type GatewayStatus,
  type HoldResult,
  type Listen,
  protocolVersion,
  type ReleaseStatus,
  type StartResult,
} from './protocol.ts';
import { fenced, type StateFile } from './state.ts';
import { Supervisor } from './supervisor.ts';
import { Traffic } from './traffic.ts';

const warmLookMs = 2_000;

type Request<C extends GatewayRequest['command']> = Extract<GatewayRequest, { command: C }>;

export interface GatewayParts {
  readonly folder: string;
  readonly state: StateFile;
  /** Ends the process after the reply has left. */
  readonly exit: () => void;
  readonly report: (text: string) => void;
  readonly maxWaiting?: number;
  readonly maxWaitMs?: number;
}

/** Carries out the commands: state first, then traffic, then the acknowledgement. */
export class Gateway {
  readonly #parts: GatewayParts;
  readonly #state: StateFile;
  readonly #traffic: Traffic;
  readonly #supervisor: Supervisor;
  readonly #listener: Listener;
  readonly #holdWatch: HoldWatch;
  #drainTimer: NodeJS.Timeout | undefined;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#state = parts.state;
    this.#traffic = new Traffic({
      maxWaiting: parts.maxWaiting ?? 10_000,
      maxWaitMs: parts.maxWaitMs ?? 30_000,
    });
    this.#supervisor = new Supervisor(parts.state, parts.folder, parts.report);
    this.#holdWatch = new HoldWatch(parts.state, this.#traffic, parts.report);
    this.#listener = new Listener(parts.state, {
      traffic: this.#traffic,
      portOf: (release) => this.#supervisor.portOf(release),
      report: parts.report,
    });
  }

  /**
   * Serves again what was served before. `listen` undefined: as the state has it. While the live release is
   * being started again (after a reboot), requests wait for it.
   */
  async open(listen: Listen | null | undefined): Promise<void> {
    const { weights, listen: before } = await this.#state.update((state) =>
      state.stopped === true ? { ...state, stopped: false } : state,
    );
    this.#traffic.hold();
    this.#traffic.route(weights);
    const wanted = listen === undefined ? before : listen;
    await this.#listener.listen(wanted?.port === 0 && before !== null ? before : wanted);
    const restarted = await this.#supervisor.adopt();
    this.#holdWatch.begin();
    void this.#resumeWhenHealthy(restarted.filter((release) => this.#traffic.isRouted(release)));
  }

  async #resumeWhenHealthy(releases: readonly ReleaseId[]): Promise<void> {
    await Promise.all(
      releases.map((release) => {
        const spec = this.#state.current.releases[release]?.spec;
        return spec && this.#becomesHealthy(release, spec.health, spec.startWithinMs);
      }),
    );
    if (this.#state.current.hold === null) this.#traffic.resume();
  }

  answer(request: GatewayRequest): Promise<unknown> {
    switch (request.command) {
      case 'status':
        return Promise.resolve(this.#status());
      case 'start':
        return this.#start(request);
      case 'check':
        return this.#check(request);
      case 'switch':
        return this.#switch(request);
      case 'hold':
        return this.#hold(request);
      case 'resume':
        return this.#resume(request);
      case 'fence':
        return this.#outrank(request.fence, request.ownerPid);
      case 'weights':
        return this.#weigh(request);
      case 'stop':
        return this.#stop(request);
      case 'standby':
        return this.#standby(request);
      case 'shutdown':
        return this.#shutdown(request);
      default:
        throw new UnshipError('internal', {
          happened: `the gateway does not know the command ${String((request as { command?: unknown }).command)}`,
          next: 'the gateway may be of an older version: stop it, and it is started again as it should be',
        });
    }
  }

  /** Ends the gateway, not the releases. */
  close(): void {
    this.#supervisor.close();
    this.#holdWatch.stop();
    clearTimeout(this.#drainTimer);
    this.#listener.close();
  }

  async stopReleases(): Promise<void> {
    await this.#supervisor.stopAll(2_000);
  }

  #status(): GatewayStatus {
    const { listen, live, weights, fence, releases } = this.#state.current;
    const statuses: { [release: ReleaseId]: ReleaseStatus } = {};
    for (const [name, entry] of Object.entries(releases)) {
      const release = name as ReleaseId;
      const unit = this.#supervisor.unit(release);
      if (unit === null) continue;
      const { startMs, spec } = entry;
      const inFlight = this.#traffic.inFlight(release);
      statuses[release] = { ...unit, commit: spec.commit, folder: spec.folder, startMs, inFlight };
    }
    return {
      protocol: protocolVersion,
      pid: process.pid,
      listen,
      live,
      weights,
      fence,
      held: this.#traffic.held,
      waiting: this.#traffic.waiting,
      releases: statuses,
    };
  }

  async #start({ fence, spec, listen, wake }: Request<'start'>): Promise<StartResult> {
    await this.#outrank(fence);
    if (listen !== undefined) await this.#listener.listen(listen);
    const unit = this.#supervisor.unit(spec.release);
    if (unit === null || unit.phase === 'starting') return this.#supervisor.start(spec);
    if (unit.phase === 'standby' && wake !== undefined) {
      await this.#supervisor.standby(spec.release, wake, false);
    }
    const serves = this.#traffic.isRouted(spec.release);
    // What serves is not stopped for a changed environment; what rests is.
    if (serves || this.#supervisor.runs(spec)) {
      const look = await this.#becomesHealthy(
        spec.release,
        spec.health,
        serves ? spec.startWithinMs : warmLookMs,
      );
      if (look.healthy) return { port: unit.port, startMs: 0, already: true };
      if (serves) {
        throw new UnshipError('target-unhealthy', {
          happened: `${spec.release} serves and is not healthy: ${look.seen}`,
          done: 'it was left as it is',
        });
      }
    }
    await this.#supervisor.stop(spec.release, Math.min(spec.drainMs, 2_000));
    return this.#supervisor.start(spec);
  }

  async #becomesHealthy(release: ReleaseId, path: string, withinMs: number): Promise<CheckResult> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const rest = deadline - performance.now();
      const port = this.#supervisor.portOf(release);
      const look =
        port === null
          ? { healthy: false, seen: 'its process is not running' }
          : await lookAtHealth(port, path, Math.min(rest, warmLookMs));
      if (look.healthy || performance.now() + 50 >= deadline) return look;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #check({ release, withinMs }: Request<'check'>): Promise<CheckResult> {
    const port = this.#supervisor.portOf(release);
    const path = this.#state.current.releases[release]?.spec.health;
    if (port === null || path === undefined) return { healthy: false, seen: 'its process is not running' };
    return lookAtHealth(port, path, withinMs);
  }

  async #switch({ fence, release }: Request<'switch'>): Promise<void> {
    await this.#state.update((state) => {
      const next = fenced(state, fence);
      this.#mustRun(release);
      const settled = next.live === release && next.weights[release] === 1 && next.hold === null;
      if (settled && Object.keys(next.weights).length === 1) return next;
      return { ...next, live: release, weights: { [release]: 1 }, hold: null };
    });
    this.#follow();
  }

  async #weigh({ fence, weights }: Request<'weights'>): Promise<void> {
    const shares = Object.entries(weights) as [ReleaseId, number][];
    const sum = shares.reduce((total, [, share]) => total + share, 0);
    if (!(sum > 0) || shares.some(([, share]) => !(share >= 0))) {
      throw new UnshipError('internal', { happened: 'weights must be positive numbers' });
    }
    await this.#state.update((state) => {
      const next = fenced(state, fence);
      for (const [release] of shares) this.#mustRun(release);
      return { ...next, weights };
    });
    this.#follow();
  }

  async #resume({ fence }: Request<'resume'>): Promise<void> {
    await this.#state.update((state) => {
      const next = fenced(state, fence);
      return next.hold === null ? next : { ...next, hold: null };
    });
    this.#follow();
  }

  /**
   * From now on who has a lower fence changes nothing; whoever began a hold can't end it any more either, unless that
   * was `ownerPid`, who goes on under a higher fence.
   */
  async #outrank(fence: number, ownerPid?: number): Promise<void> {
    await this.#state.update((state) => {
      const next = fenced(state, fence);
      if (next === state || next.hold === null || next.hold.ownerPid === ownerPid) return next;
      return { ...next, hold: leftBehind(next.hold) };
    });
  }

  /** Traffic does what the state says, in one turn; what answered the old release may end in its own time. */
  #follow(): void {
    const { weights, hold } = this.#state.current;
    this.#traffic.route(weights);
    if (hold === null) {
      this.#holdWatch.stop();
      this.#traffic.resume();
    }
    clearTimeout(this.#drainTimer);
    const leaving = this.#traffic.leaving();
    if (leaving.length === 0) return;
    const drains = leaving.map((release) => this.#state.current.releases[release]?.spec.drainMs ?? 0);
    this.#drainTimer = setTimeout(
      () => {
        for (const release of this.#traffic.leaving()) this.#traffic.cut(release);
      },
      Math.max(...drains),
    );
  }

  async #hold({ fence, ownerPid, drainMs, maxMs }: Request<'hold'>): Promise<HoldResult> {
    const hold = newHold(ownerPid, maxMs);
    await this.#state.update((state) => ({ ...fenced(state, fence), hold }));
    // A switch that came right behind has ended it already.
    if (this.#state.current.hold !== hold) return { inFlight: this.#traffic.inFlight() };
    this.#traffic.hold();
    this.#holdWatch.begin();
    await this.#traffic.idle(drainMs);
    // Through an open WebSocket the application would go on changing what is to stand still.
    if (this.#traffic.held) this.#traffic.cutUpgraded();
    return { inFlight: this.#traffic.inFlight() };
  }

  async #stop({ fence, release, drainMs }: Request<'stop'>): Promise<void> {
    await this.#outrank(fence);
    this.#mustNotServe(release);
    await this.#traffic.idle(drainMs, release);
    // Again: a switch may have come back to it while its requests were ending.
    this.#mustNotServe(release);
    this.#traffic.cut(release);
    await this.#supervisor.stop(release, drainMs);
  }

  async #standby({ fence, release, signal }: Request<'standby'>): Promise<void> {
    await this.#outrank(fence);
    this.#mustNotServe(release);
    if (this.#supervisor.unit(release)?.phase !== 'running') return;
    await this.#supervisor.standby(release, signal, true);
  }

  async #shutdown({ fence, stopReleases }: Request<'shutdown'>): Promise<void> {
    await this.#outrank(fence);
    await this.#state.update((state) => ({ ...state, stopped: true }));
    this.#listener.close();
    if (stopReleases) await this.stopReleases();
    this.#parts.exit();
  }

  #mustRun(release: ReleaseId): void {
    const phase = this.#supervisor.unit(release)?.phase;
    if (phase === 'running' || phase === 'standby') return;
    throw new UnshipError('target-unhealthy', {
      happened: `${release} is ${phase ?? 'not running'}`,
      done: 'traffic was not touched',
    });
  }

  #mustNotServe(release: ReleaseId): void {
    if (!this.#traffic.isRouted(release)) return;
    throw new UnshipError('still-serving', {
      happened: `${release} serves requests`,
      done: 'it was left running',
    });
  }
}
