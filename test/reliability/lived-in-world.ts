import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { badMigration, serverSource } from '../support/application-fixture.ts';
import type { Program } from '../support/program.ts';
import { type Ended, firstVersion, type RunRow, said, until, World } from '../support/world.ts';
import { leftovers, requireChain } from '../torture/observer.ts';
import { mixedHolders, recordJournalOrder } from './journal-order.ts';
import { differences, judge, type Looks, type Opinions, type Statement } from './judge.ts';
import { Observer } from './observer.ts';
import type { Observation } from './observer-process.ts';

const ended = new Set(['done', 'failed', 'undone', 'superseded']);

/** What a killed process was building, taking in, copying or drafting goes with the undo of it, or the next one. */
const clearedLater =
  /\/\.(staging|taking)-|\/backups\/[^/]*\.db\.partial|\/migrations\/\.[^/]*\.\d+\.partial$|\/incident-\d+\.md\.\d+\.new$/;

/** Puts down what the header says: whoever writes knows its own words again. */
const ledgerServer = serverSource.replace(
  "'by ' + version,",
  "(request.headers['x-entry'] ?? 'by ' + version),",
);

/** An application that people use, with an observer beside it who judges every command's last words. */
export class LivedInWorld {
  readonly world: World;
  readonly violations: string[] = [];
  readonly opinions: Opinions = { agrees: 0, unknowable: 0, contradicts: 0 };
  readonly base: string;
  readonly #observer = new Observer();
  readonly #looks = new Map<string, Looks>();
  readonly #acknowledged = new Set<string>();
  /** Sent, and no answer came: it may be there or not. */
  readonly #doubtful = new Set<string>();
  #version = 1;
  #words = 0;

  private constructor(world: World, base: string) {
    this.world = world;
    this.base = base;
  }

  static async make(program: Program): Promise<LivedInWorld> {
    const world = await World.make(program, { surfaces: 'all', witness: false });
    world.write('server.mjs', ledgerServer);
    const lived = new LivedInWorld(world, await world.commit(firstVersion));
    lived.#looks.set(lived.base, {
      version: 'v1',
      columns: ['body', 'id', 'mood'],
      applied: ['0001'],
      // The code of the first version, or the same under a version of its own.
      isOffered: (version) => version === '1.0.0' || (version?.endsWith('.1') ?? false),
    });
    try {
      await world.expect(0, ['release', '--yes']);
      recordJournalOrder(join(world.stateFolder(), 'state.db'));
      await lived.write();
      await lived.requireRest('r1');
    } catch (error) {
      await lived.end();
      throw error;
    }
    return lived;
  }

  async end(): Promise<void> {
    this.#observer.end();
    await this.world.end();
  }

  /** A bad version beside the others, on the good one; what a rollback of it offers to desktops stands by. */
  async commitBad(migration: string = badMigration): Promise<void> {
    this.#version += 1;
    const { world } = this;
    const version = `v${this.#version}`;
    const desktop = `1.${this.#version}.0`;
    await world.git('checkout', '--quiet', '--detach', this.base);
    const commit = await world.commit({
      version,
      column: 'feeling',
      desktop,
      migrations: { '0002_bad.sql': migration },
    });
    this.#looks.set(commit, {
      version,
      columns: ['body', 'feeling', 'id'],
      applied: ['0001', '0002'],
      isOffered: (offered) => offered === desktop,
    });
    // The good code above every version that clients can have.
    world.standby(this.base, `1.${this.#version}.1`);
  }

  /** A version with a column more, on which the good code runs too; after the way back either schema will do. */
  async commitExpanding(migration: string): Promise<void> {
    await this.commitBad(migration);
    const expanded = { columns: ['body', 'feeling', 'id', 'mood'], applied: ['0001', '0002'] };
    for (const commit of [await this.world.head(), this.base]) {
      const looks = this.#looks.get(commit);
      if (looks !== undefined) this.#looks.set(commit, { ...looks, ...expanded });
    }
  }

  /**
   * One whose release did not get to its end (its watch failed, or something passed it by) serves perhaps, and clients
   * were never offered it: then they have what was offered before.
   */
  looksOf(release: string): Looks | undefined {
    const found = this.world.releases().find(({ id }) => id === release);
    const looks = this.#looks.get(found?.commit ?? '');
    const run = this.world.runs().findLast(({ kind, to }) => kind === 'release' && to === release);
    if (looks === undefined || run?.status === 'done') return looks;
    if (this.#wasPublished(found?.surfaces.desktop?.label ?? '')) return looks;
    return { ...looks, isOffered: (version) => version !== null };
  }

  /** What the feed itself says that clients were ever offered. */
  #wasPublished(version: string): boolean {
    const text = readFileSync(join(this.world.feed, 'unship.json'), 'utf8');
    return version in (JSON.parse(text) as { versions: object }).versions;
  }

  get live(): string | undefined {
    return this.world.releases().find(({ deployment }) => deployment === 'live')?.id;
  }

  unended(): readonly RunRow[] {
    return this.world.runs().filter(({ status }) => !ended.has(status));
  }

  /** Somebody writes; false when it was not acknowledged. */
  async write(): Promise<boolean> {
    this.#words += 1;
    const word = `w-${this.#words}`;
    this.#doubtful.add(word);
    const acknowledged = await fetch(`http://127.0.0.1:${this.world.port}/`, {
      method: 'POST',
      headers: { connection: 'close', 'x-entry': word },
      signal: AbortSignal.timeout(30_000),
    }).then(
      async (response) => (await response.text()) !== '' && response.status === 200,
      () => false,
    );
    if (acknowledged) {
      this.#doubtful.delete(word);
      this.#acknowledged.add(word);
    }
    return acknowledged;
  }

  look(): Promise<Observation> {
    return this.#observer.look(this.world);
  }

  /** Runs a command to its end and has the observer judge it. `isDisturbed` is asked when it has ended. */
  async say(
    args: readonly string[],
    variables: { readonly [name: string]: string } = {},
    isDisturbed: () => boolean = () => false,
  ): Promise<Ended> {
    const before = await this.look();
    const done = await this.world.run([...args, '--json'], variables);
    await this.judge({ args, ended: done, before }, isDisturbed);
    return done;
  }

  async judge(
    statement: Pick<Statement, 'args' | 'ended' | 'before'>,
    isDisturbed: () => boolean,
  ): Promise<void> {
    const after = await this.look();
    const opinion = judge({
      ...statement,
      after,
      isDisturbed: isDisturbed(),
      isNewest: (run) => this.world.runs().at(-1)?.id === run,
      looksOf: (release) => this.looksOf(release),
    });
    this.opinions[opinion.opinion] += 1;
    if (opinion.opinion === 'contradicts') this.violations.push(opinion.text);
  }

  /** Everything as an outsider sees it, once nothing is under way any more. Throws what is wrong. */
  async requireRest(release?: string): Promise<void> {
    const wrong: string[] = [];
    const { world } = this;
    const live = world.releases().filter(({ deployment }) => deployment === 'live');
    if (live.length !== 1) wrong.push(`${live.length} releases are recorded as live`);
    const id = live[0]?.id ?? '';
    if (release !== undefined && id !== release) wrong.push(`${id} is live, not ${release}`);
    if (world.releases().some(({ deployment }) => deployment === 'pending'))
      wrong.push('a release is pending');
    for (const run of this.unended()) wrong.push(`run ${run.id} (${run.kind}) is ${run.status}`);
    const looks = this.looksOf(id);
    const seen = await this.look();
    if (looks !== undefined)
      wrong.push(...differences(seen, looks).map((text) => `${id} is live, and ${text}`));
    wrong.push(...this.#lostWrites(seen, looks?.columns.includes('mood') === true));
    requireChain(world);
    if (world.runs().length > 1) wrong.push(...world.readState(mixedHolders));
    const left = (): readonly string[] => leftovers(world).filter((path) => !clearedLater.test(path));
    if (!(await until(() => left().length === 0, 3000))) wrong.push(`left: ${left().join(', ')}`);
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
  }

  /** Acknowledged words that are not there, and what is there that nobody wrote. */
  #lostWrites(seen: Observation, isGood: boolean): readonly string[] {
    const wrong: string[] = [];
    const bodies = seen.schema?.entries.map(({ body }) => body) ?? [];
    const found = new Set(isGood ? bodies : bodies.map((body) => body.toLowerCase()));
    const lost = [...this.#acknowledged].filter((word) => !found.has(word));
    if (lost.length > 0) wrong.push(`acknowledged and gone: ${lost.slice(0, 9).join()} of ${lost.length}`);
    const strange = [...found].filter((word) => !this.#acknowledged.has(word) && !this.#doubtful.has(word));
    if (strange.length > 0) wrong.push(`nobody wrote ${strange.slice(0, 9).join()}`);
    if (bodies.length !== found.size) wrong.push('an entry is there twice');
    return wrong;
  }

  /** A person agreed to lose what is not there any more; how many of the acknowledged ones that is. */
  async forgetLost(): Promise<number> {
    const seen = await this.look();
    const there = new Set(seen.schema?.entries.map(({ body }) => body.toLowerCase()));
    const gone = [...this.#acknowledged].filter((word) => !there.has(word));
    for (const word of gone) this.#acknowledged.delete(word);
    return gone.length;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Goes on with what is unended, as a person would. */
  async settle(): Promise<void> {
    for (let tries = 0; tries < 4; tries += 1) {
      const open = this.unended().at(-1);
      if (open === undefined) return;
      const done = await this.say(['resume', String(open.id)]);
      if (this.unended().length === 0) return;
      if (tries === 3) throw new Error(`run ${open.id} does not end: ${said(done)}`);
    }
  }

  #isBack(): boolean {
    const releases = this.world.releases();
    const live = releases.findIndex(({ deployment }) => deployment === 'live');
    const newer = releases.slice(live + 1);
    return (
      live >= 0 && newer.some(({ deployment, health }) => deployment === 'rolled-back' && health === 'bad')
    );
  }

  /** Back to `release`, or to whatever proved good last, by one command. */
  async back(release?: string): Promise<void> {
    if (this.live === 'r1') return;
    const done = await this.say(['rollback', '--yes']);
    // What came after it was taken back as bad: further back one goes by name.
    if (release === undefined && done.exit === 3 && this.#isBack()) return;
    if (done.exit !== 0) throw new Error(`the way back failed: ${said(done)}`);
    await this.requireRest(release);
  }
}
