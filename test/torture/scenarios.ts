import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { badMigration } from '../support/application-fixture.ts';
import type { Program } from '../support/program.ts';
import { type Ended, firstVersion, type RunRow, said, World } from '../support/world.ts';
import {
  type Acknowledged,
  type Expected,
  requireServed,
  requireState,
  type Side,
  Webhook,
} from './observer.ts';

/** Scenarios that a point of time can be tried in. */
export type Scenario = 'release' | 'undo' | 'cancel' | 'rehearsal';

/** One command killed at a point: which point that was, or null when it ended before it came there. */
export interface Struck {
  readonly point: string | null;
}

/**
 * A world with a good release `r1` that is used over and over: bad releases come and go, commands are killed and
 * gone on with by other processes, and after each an observer looks at everything.
 */
export class TortureWorld {
  readonly world: World;
  /** Where the last command was killed. */
  lastPoint = 'none';
  readonly #webhook: Webhook;
  readonly #base: string;
  #cycle = 0;
  #rows: readonly Acknowledged[] = [];
  /** What clients are offered while the good release serves. */
  #goodDesktop = '1.0.0';
  #bad = { release: 'r1', version: 'v1', desktop: '1.0.0' };

  private constructor(world: World, webhook: Webhook, base: string) {
    this.world = world;
    this.#webhook = webhook;
    this.#base = base;
  }

  static async make(program: Program, rehearsal: 'required' | 'off'): Promise<TortureWorld> {
    const webhook = await Webhook.start();
    const world = await World.make(program, {
      surfaces: 'all',
      environment: {
        rehearsal,
        notifications: { team: [{ provider: 'slack', options: { webhook: { $secret: 'HOOK' } } }] },
      },
      variables: { HOOK: webhook.url },
    });
    const torture = new TortureWorld(world, webhook, await world.commit(firstVersion));
    try {
      await world.expect(0, ['release', '--yes']);
      await torture.#write('good');
      await torture.requireGood();
    } catch (error) {
      await torture.end();
      throw error;
    }
    return torture;
  }

  async end(): Promise<void> {
    this.#webhook.close();
    await this.world.end();
  }

  /** Somebody uses the application; what is acknowledged must never be lost. */
  async #write(side: Side): Promise<void> {
    const page = await this.world.page(this.world.port, 'POST');
    const row = page.rows?.at(-1);
    assert.ok(row !== undefined, `a write was not acknowledged: ${page.status} ${page.body}`);
    const text = (key: string): string => String(row[key]);
    this.#rows = [
      ...this.#rows,
      side === 'good'
        ? { id: row.id, body: row.body, mood: text('mood'), feeling: 'unknown' }
        : { id: row.id, body: row.body, mood: 'none', feeling: text('feeling') },
    ];
  }

  /** A bad version beside the others, never on top of one: each contains only the good one. */
  async #commitBad(): Promise<void> {
    this.#cycle += 1;
    const { world } = this;
    const desktop = `1.${this.#cycle}.0`;
    await world.git('checkout', '--quiet', '--detach', this.#base);
    const version = `v${this.#cycle + 1}`;
    await world.commit({ version, column: 'feeling', desktop, migrations: { '0002_bad.sql': badMigration } });
    world.standby(this.#base, `1.${this.#cycle}.1`);
    this.#bad = { release: '', version, desktop };
  }

  #newest(): string {
    return this.world.releases().at(-1)?.id ?? '';
  }

  async requireGood(): Promise<void> {
    await this.#require({ release: 'r1', version: 'v1', side: 'good', desktop: this.#goodDesktop });
  }

  async requireBad(): Promise<void> {
    await this.#require({ ...this.#bad, side: 'bad' });
  }

  async #require(expected: Omit<Expected, 'rows'>): Promise<void> {
    await requireState(this.world, { ...expected, rows: this.#rows });
  }

  /** Starts a command that is killed at point `n`; the point's name is what it wrote last. */
  async #strike(args: readonly string[], n: number): Promise<Struck & { readonly ended: Ended }> {
    const file = join(this.world.folder, 'points');
    rmSync(file, { force: true });
    this.lastPoint = 'not killed';
    const ended = await this.world.run(args, { UNSHIP_FAULTS: `record:${file},kill:${n}` });
    if (ended.signal !== 'SIGKILL') {
      assert.equal(ended.exit, 0, `unship ${args.join(' ')} was not killed and failed:\n${said(ended)}`);
      return { point: null, ended };
    }
    const points = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
    this.lastPoint = points.at(-1) ?? 'before the first';
    return { point: this.lastPoint, ended };
  }

  /** Another process goes on: with the run, or where there is none yet with the same command. */
  async #goOn(args: readonly string[], before: RunRow | undefined): Promise<void> {
    const run = this.world.runs().at(-1);
    if (run === undefined || run.id === before?.id) {
      await this.world.expect(0, args);
      return;
    }
    if (run.status !== 'done') await this.world.expect(0, ['resume', String(run.id)]);
  }

  async #struckAndResumed(args: readonly string[], n: number): Promise<Struck> {
    const before = this.world.runs().at(-1);
    const { point } = await this.#strike(args, n);
    if (point !== null) await this.#goOn(args, before);
    assert.equal(this.world.runs().at(-1)?.status, 'done');
    return { point };
  }

  /** From the good release to a bad one, killed at point `n` (0: not at all). */
  async release(n: number): Promise<Struck> {
    await this.#commitBad();
    const struck = await this.#struckAndResumed(['release', '--yes'], n);
    this.#bad = { ...this.#bad, release: this.#newest() };
    await this.requireBad();
    return struck;
  }

  /** From the bad release back, killed at point `n` (0: not at all). */
  async rollback(n: number): Promise<Struck> {
    const heard = this.#webhook.keys.length;
    await this.#write('bad');
    const struck = await this.#struckAndResumed(['rollback', '--yes', '-m', 'torture'], n);
    const standby = `1.${this.#cycle}.1`;
    this.#goodDesktop = standby;
    await this.requireGood();
    this.#requireToldOnce(heard);
    await this.#write('good');
    return struck;
  }

  /** The bad release again, killed at point `n`; then back without being killed, to be where it began. */
  async undo(n: number): Promise<Struck> {
    const heard = this.#webhook.keys.length;
    const last = this.world.runs().findLast(({ kind }) => kind === 'rollback');
    const struck = await this.#struckAndResumed(['undo', String(last?.id), '--yes'], n);
    await this.requireBad();
    this.#requireToldOnce(heard);
    // The standby of the first rollback is above the bad version still: it is what clients are offered again.
    await this.rollback(0);
    return struck;
  }

  /** A bad release killed at point `n`, then cancelled by another process: everything is as it was. */
  async cancel(n: number): Promise<Struck> {
    await this.#commitBad();
    const before = this.world.runs().at(-1);
    const { point } = await this.#strike(['release', '--yes'], n);
    const run = this.world.runs().at(-1);
    const begun = run !== undefined && run.id !== before?.id;
    if (begun && run.status !== 'done') {
      const ended = await this.world.run(['cancel', String(run.id), '--yes']);
      const status = this.world.runs().at(-1)?.status;
      if (ended.exit === 0) assert.equal(status, 'undone', said(ended));
      else await this.#tooLate(run.id, ended);
    }
    if (this.world.runs().at(-1)?.status === 'done' && begun) {
      // It was past its point of no return: the way back is a rollback.
      this.#bad = { ...this.#bad, release: this.#newest() };
      await this.requireBad();
      await this.rollback(0);
    } else {
      await this.requireGood();
    }
    return { point };
  }

  /**
   * A release killed at point `n` of its rehearsal: nothing live has changed, and the same command does the rest.
   * The point is null when it was killed later than that.
   */
  async rehearsal(n: number): Promise<Struck> {
    await this.#commitBad();
    const before = this.world.runs().at(-1);
    const { point } = await this.#strike(['release', '--yes'], n);
    const run = this.world.runs().at(-1);
    const isRehearsal = run === undefined || run.id === before?.id || run.kind === 'rehearsal';
    if (point !== null && isRehearsal) {
      await requireServed(this.world, {
        release: 'r1',
        version: 'v1',
        side: 'good',
        desktop: this.#goodDesktop,
        rows: this.#rows,
      });
      await this.world.expect(0, ['release', '--yes']);
    } else if (run !== undefined && run.status !== 'done') {
      await this.world.expect(0, ['resume', String(run.id)]);
    }
    this.#bad = { ...this.#bad, release: this.#newest() };
    await this.requireBad();
    await this.rollback(0);
    return { point: isRehearsal ? point : null };
  }

  /** Refused past the point of no return, and only there; then the run goes on to its end. */
  async #tooLate(run: number, ended: Ended): Promise<void> {
    assert.equal(ended.exit, 3, `cancel failed:\n${said(ended)}`);
    assert.match(ended.stderr, /past-no-return/);
    await this.world.expect(0, ['resume', String(run)]);
  }

  #requireToldOnce(heard: number): void {
    const keys = this.#webhook.distinctSince(heard);
    assert.equal(keys.length, 1, `the team was told ${keys.length} different messages: ${keys.join(', ')}`);
  }
}
