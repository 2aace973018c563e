import { nextTick } from 'node:process';
import { RunningApplication } from '../../src/app/application.ts';
import type { Parts } from '../../src/app/parts.ts';
import type { Application } from '../../src/domain/application.ts';
import type { EnvironmentDefinition } from '../../src/domain/definition.ts';
import type { Release, ReleaseId } from '../../src/domain/release.ts';
import { timeLimit } from '../../src/domain/time-limit.ts';
import type { Check } from '../../src/guard/check.port.ts';
import type { Channel } from '../../src/incident/communication.port.ts';
import { databaseSurface } from '../../src/surfaces/database/actions.ts';
import { desktopSurface } from '../../src/surfaces/desktop/actions.ts';
import type { Source } from '../../src/surfaces/source.port.ts';
import { webSurface } from '../../src/surfaces/web/actions.ts';
import { VirtualTime } from '../support/virtual-time.ts';
import { type DatabaseTruth, fingerprintOf, type Migration, simulatedDatabase } from './database.ts';
import { type DesktopTruth, publishedFirst, simulatedDesktop } from './desktop.ts';
import { Disk } from './disk.ts';
import { Faults, type PlannedFault } from './faults.ts';
import { Monitor } from './monitor.ts';
import { Network } from './network.ts';
import { SimulatedProcess } from './process.ts';
import type { Random } from './random.ts';
import { SimulatedStore } from './store.ts';
import { simulatedWeb, type WebTruth } from './web.ts';

/** A canary: a secret of the environment, which must not be found in anything that is kept or sent. */
export const canary = 'canary-5d41402abc4b2a76b9719d911017c592';

/** How long a hold outlives its owner, in ms, as the gateway has it. */
const orphanedHoldMs = 5_000;

/** Version of the good code that stands by. */
export const standbyVersion = '1.1.1';

/** What a check waits for an answer, in ms. */
const checkMs = 5_000;

export interface Commit {
  readonly hash: string;
  readonly parents: readonly string[];
  /** Versions of all its migrations, oldest first. */
  readonly versions: readonly string[];
  readonly desktop: string;
  /** Its checks fail. */
  readonly isBad: boolean;
}

/** What was written by users, and acknowledged to them. */
export interface Acknowledged {
  readonly id: number;
  readonly body: string;
}

export function commitHash(number: number): string {
  return number.toString(16).padStart(40, '0');
}

/** One application with its users, its servers and all that can go wrong, in a time of its own. */
export class World {
  // Nothing here waits for files or sockets: what is to be done is done when all promises have settled, which is when
  // a tick comes that was asked for from among them.
  readonly time: VirtualTime = new VirtualTime((tick) => queueMicrotask(() => nextTick(tick)));
  readonly random: Random;
  readonly faults: Faults;
  readonly disk: Disk;
  readonly network: Network;
  readonly commits: Map<string, Commit> = new Map();
  readonly migrations: Map<string, Migration> = new Map();
  readonly web: WebTruth = { staged: new Map(), running: new Set(), live: null, heldBy: null, fence: 0 };
  readonly database: DatabaseTruth = {
    applied: ['0001'],
    rows: new Map(),
    overwritten: new Map(),
    backups: new Map(),
    lost: new Set(),
    restored: null,
    fence: 0,
  };
  readonly desktop: DesktopTruth = {
    state: publishedFirst('1.0.0', commitHash(1)),
    staged: new Map(),
    standby: null,
  };
  head = '';
  readonly acknowledged: Acknowledged[] = [];
  /** Keys of the messages that came in, in order. */
  readonly messages: { readonly key: string; readonly text: string }[] = [];
  readonly drafts: Map<number, string> = new Map();
  /** Releases that were seen to serve, each change once. */
  readonly served: (ReleaseId | null)[] = [];
  readonly processes: SimulatedProcess[] = [];
  readonly definition: EnvironmentDefinition;
  readonly monitor: Monitor;
  /** Told of each place where a process has an effect or writes down what it does; it may kill it there. */
  onPoint: (process: SimulatedProcess, point: string) => void = () => {};
  #ended = false;

  constructor(random: Random, planned: readonly PlannedFault[], definition: EnvironmentDefinition) {
    this.random = random;
    this.faults = new Faults(planned);
    this.monitor = new Monitor(this.faults, this.processes, () => this.time.now());
    this.disk = new Disk(this.time, this.faults, random, (before, after) =>
      this.monitor.committed(before, after),
    );
    this.network = new Network(this.time, this.faults, random, () => this.#lookAtEffect());
    this.definition = definition;
  }

  now(): number {
    return this.time.now();
  }

  hasCommit(commit: string): boolean {
    return this.commits.has(commit);
  }

  ordered(fence: number): void {
    this.monitor.ordered(fence);
  }

  versionsAt(commit: string): readonly string[] {
    return this.commits.get(commit)?.versions ?? [];
  }

  desktopVersionAt(commit: string): string | null {
    return this.commits.get(commit)?.desktop ?? null;
  }

  addCommit(commit: Commit): void {
    this.commits.set(commit.hash, commit);
    this.head = commit.hash;
  }

  /** `r1` is live and good, as a release has left it. */
  begin(good: Commit): void {
    this.addCommit(good);
    this.migrations.set('0001', {
      version: '0001',
      oldCodeRuns: true,
      newCodeRuns: false,
      rewrites: false,
      down: 'written',
    });
    this.web.staged.set('r1', good.hash);
    this.web.running.add('r1');
    this.web.live = 'r1';
    this.desktop.state = publishedFirst(good.desktop, good.hash);
    this.desktop.staged.set(good.desktop, good.hash);
    const part = { commit: good.hash, since: 'r1' } as const;
    const release: Release = {
      id: 'r1',
      createdAt: this.now(),
      createdBy: 'maria',
      commit: good.hash,
      deployment: 'live',
      health: 'good',
      configurationHash: 'c'.repeat(64),
      surfaces: {
        web: { ...part, kind: 'web', artifact: { folder: 'r1' }, label: 'r1' },
        database: {
          ...part,
          kind: 'database',
          artifact: { applied: ['0001'], fingerprint: fingerprintOf(['0001']) },
          label: '0001',
        },
        desktop: { ...part, kind: 'desktop', artifact: { version: good.desktop }, label: good.desktop },
      },
    };
    this.disk.tamper((content) => ({ ...content, releases: new Map([[1, release]]) }));
  }

  /** A command as somebody starts it: a process of its own, and the application open in it. */
  start(
    command: string,
    machine?: string,
  ): { readonly process: SimulatedProcess; readonly application: Application } {
    const pid = 100 + this.processes.length;
    const host = machine ?? (this.random.chance(0.8) ? 'here' : `machine-${pid}`);
    const owner = { host, pid, pidStartedAt: String(pid), user: 'maria', command };
    const process: SimulatedProcess = new SimulatedProcess(this.time, owner, {
      faults: this.faults,
      random: this.random,
      kill: () => this.kill(process),
      passed: (point) => this.onPoint(process, point),
    });
    this.processes.push(process);
    return { process, application: new RunningApplication(this.#parts(process, command)) };
  }

  /** Where syncs were lost, only a power cut shows it; everything on the machine dies with it. */
  kill(process: SimulatedProcess): void {
    process.kill();
    if (this.faults.happened('lost-sync') && this.random.chance(0.7)) {
      for (const other of this.processes) other.kill();
      this.disk.cutPower();
    }
  }

  #parts(process: SimulatedProcess, command: string): Parts {
    const web = simulatedWeb(this, this.network, process);
    const database = simulatedDatabase(this, this.network, process);
    const desktop = simulatedDesktop(this, this.network, process);
    const { runtime } = process;
    return {
      webs: new Map([['web', web]]),
      databases: new Map([['database', database]]),
      desktops: new Map([['desktop', desktop]]),
      surfaces: new Map([
        ['web', webSurface('web', web)],
        ['database', databaseSurface('database', database)],
        ['desktop', desktopSurface('desktop', desktop)],
      ]),
      request: {
        definition: { name: 'vault', environments: { production: this.definition } },
        definitionHash: 'c'.repeat(64),
        environment: 'production',
        root: '/simulation',
        stateFolder: '/simulation/state',
        user: 'maria',
        command,
        processEnvironment: { TOKEN: canary },
      },
      definition: this.definition,
      policy: {
        application: 'vault',
        environment: 'production',
        bakeMs: 4_000,
        desktop: this.definition.guard?.desktop ?? 'after',
        approvals: this.definition.approvals ?? [],
        notifyTeam: true,
        rehearsal: 'off',
        digest: runtime.digest,
      },
      runtime,
      store: new SimulatedStore(this.disk, process),
      source: this.#source(),
      owner: process.owner,
      // Whether a process of another machine lives can't be seen from here.
      isOwnerAlive: (owner) =>
        owner.host === process.owner.host
          ? (this.processes.find((one) => one.owner.pid === owner.pid)?.alive ?? false)
          : null,
      channels: [this.#channel(process)],
      drafts: {
        save: async (incident, text) => {
          await process.gate();
          runtime.faults.point('incident.file.before');
          this.drafts.set(incident, text);
          runtime.faults.point('incident.file.after');
          return `incident-${incident}.md`;
        },
      },
      plannedReleases: new Map(),
      checks: async () => [this.#check(process)],
    };
  }

  #source(): Source {
    const contains = (commit: string, ancestor: string): boolean =>
      commit === ancestor ||
      (this.commits.get(commit)?.parents ?? []).some((parent) => contains(parent, ancestor));
    return {
      root: '/simulation',
      resolve: async (ref) => (ref === 'HEAD' ? this.head : ref),
      has: async (commit) => this.commits.has(commit),
      read: async () => null,
      list: async () => [],
      objectAt: async () => null,
      checkout: async () => {},
      contains: async (commit, ancestor) => contains(commit, ancestor),
      isShallow: async () => false,
      subject: async (commit) => `commit ${commit.slice(-4)}`,
      hasTrailer: async () => false,
    };
  }

  /** A channel with keys: the same message sent again is the same message. */
  #channel(process: SimulatedProcess): Channel {
    return {
      name: 'team',
      validate: async () => {},
      send: async (context, message) =>
        await this.network.command(process, context.signal, 'team.message', () => {
          const key = context.idempotencyKey;
          const text = [message.title, ...message.lines].join('\n');
          if (!this.messages.some((sent) => sent.key === key)) this.messages.push({ key, text });
          return 'delivered' as const;
        }),
    };
  }

  #check(process: SimulatedProcess): Check {
    return {
      name: 'health',
      run: async (context) => {
        using limit = timeLimit(process.runtime.clock, checkMs);
        try {
          const well = await this.network.ask(
            process,
            AbortSignal.any([context.signal, limit.signal]),
            'health',
            () => this.#answers() && this.#liveCommit()?.isBad === false,
          );
          const verdict = well ? ('pass' as const) : ('fail' as const);
          return { check: 'health', verdict, seen: verdict, ms: 1 };
        } catch (error) {
          return { check: 'health', verdict: 'unknown', seen: String(error), ms: 1 };
        }
      },
    };
  }

  #liveCommit(): Commit | undefined {
    const { live, staged } = this.web;
    return live === null ? undefined : this.commits.get(staged.get(live) ?? '');
  }

  /** The live code runs on the schema that there is. */
  #answers(): boolean {
    const commit = this.#liveCommit();
    if (commit === undefined || this.web.live === null || !this.web.running.has(this.web.live)) return false;
    const { applied } = this.database;
    return (
      applied.every(
        (version) => commit.versions.includes(version) || this.migrations.get(version)?.oldCodeRuns,
      ) &&
      commit.versions.every(
        (version) => applied.includes(version) || this.migrations.get(version)?.newCodeRuns,
      )
    );
  }

  /** People use it all the time: what they are told was kept must be there in the end. */
  async use(): Promise<void> {
    let orphanedSince: number | undefined;
    while (!this.#ended) {
      // Less and less: in a story that waits for hours nothing is learnt from every minute of it.
      const slowness = this.acknowledged.length < 40 ? 1 : this.acknowledged.length / 4;
      await this.time.sleep(Math.round(this.random.between(300, 1_500) * slowness));
      if (this.served.at(-1) !== this.web.live) this.served.push(this.web.live);
      const { heldBy } = this.web;
      if (heldBy !== null) {
        // They wait. The gateway ends the hold of a dead process by itself.
        orphanedSince = heldBy.alive ? undefined : (orphanedSince ?? this.now());
        if (orphanedSince !== undefined && this.now() - orphanedSince >= orphanedHoldMs)
          this.web.heldBy = null;
        continue;
      }
      orphanedSince = undefined;
      if (!this.#answers()) continue;
      const id = this.acknowledged.length + 1;
      const entry = { id, body: `Entry ${id}` };
      this.database.rows.set(entry.id, entry.body);
      this.acknowledged.push(entry);
    }
  }

  /**
   * Asked before and after everything that a run does: where people were well served before it, they are after it,
   * or they wait.
   */
  #lookAtEffect(): () => void {
    const wasWell = this.isServed();
    return () => {
      if (wasWell && !this.isServed() && !this.faults.happened('human-change') && !this.network.lied)
        this.monitor.found.add('people meet code on a schema that it does not run on');
    };
  }

  /** Nobody is refused: the code runs on the schema, or requests wait. */
  isServed(): boolean {
    return this.web.heldBy !== null || this.#answers();
  }

  isUsable(): boolean {
    return this.web.heldBy === null && this.#answers();
  }

  end(): void {
    this.#ended = true;
    this.time.end();
    for (const process of this.processes) process.kill();
  }
}
