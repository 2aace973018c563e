import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCatalogue } from '../../src/domain/error-catalogue.ts';
import { badMigration } from '../support/application-fixture.ts';
import type { Program } from '../support/program.ts';
import { type Ended, firstVersion, said, World } from '../support/world.ts';
import { requireChain } from '../torture/observer.ts';
import type { Opinions } from './judge.ts';

const roomy = 1 << 30;

/** A disk of its own, in memory, whose size can be changed while it is used. */
class SmallDisk implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'unship-small-disk-'));

  constructor() {
    const options = `size=${roomy},mode=700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', this.folder], { stdio: 'pipe' });
  }

  /** So many bytes, in whole pages, are free from now on. */
  leave(bytes: number): void {
    const { blocks, bfree, bsize } = statfsSync(this.folder);
    this.#resize((blocks - bfree) * bsize + bytes);
  }

  makeRoom(): void {
    this.#resize(roomy);
  }

  #resize(size: number): void {
    execFileSync('mount', ['-o', `remount,size=${size}`, this.folder], { stdio: 'pipe' });
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.folder], { stdio: 'pipe' });
    rmdirSync(this.folder);
  }
}

/** Commands that are tried on a full disk; each ends where it began, so that the next can follow. */
const operations = ['release', 'rollback', 'undo', 'backup', 'restore'] as const;
type Operation = (typeof operations)[number];

/** A good release and, above it, a bad one with a migration, on a disk that becomes full. */
class FullDiskWorld {
  readonly disk: SmallDisk;
  readonly world: World;
  readonly #base: string;
  #version = 1;

  private constructor(disk: SmallDisk, world: World, base: string) {
    this.disk = disk;
    this.world = world;
    this.#base = base;
  }

  static async make(program: Program): Promise<FullDiskWorld> {
    const disk = new SmallDisk();
    const usual = process.env.TMPDIR;
    process.env.TMPDIR = disk.folder;
    let world: World | undefined;
    try {
      world = await World.make(program, { surfaces: 'web-and-database' });
      const base = await world.commit(firstVersion);
      await world.expect(0, ['release', '--yes']);
      return new FullDiskWorld(disk, world, base);
    } catch (error) {
      await world?.end();
      disk[Symbol.dispose]();
      throw error;
    } finally {
      if (usual === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = usual;
    }
  }

  async end(): Promise<void> {
    await this.world.end();
    this.disk[Symbol.dispose]();
  }

  /** The command with so little room, then with enough; true when the lack of room was felt. */
  async try(operation: Operation, bytes: number): Promise<boolean> {
    const { world } = this;
    await world.page(world.port, 'POST');
    const rows = world.rows().map(({ id, body }) => ({ id, body }));
    const args = await this.#prepare(operation);
    this.disk.leave(bytes);
    const ended = await world.run(args);
    this.disk.makeRoom();
    if (ended.exit !== 0) requireClear(ended, operation);
    requireChain(world);
    if (ended.exit !== 0) await this.#goOn(args);
    if (operation === 'release' || operation === 'undo') await world.expect(0, ['rollback', '--yes']);
    // The bad version rewrites them; back from it they are what they were.
    const bodies = world.rows().map(({ id, body }) => ({ id, body }));
    assert.deepEqual(bodies, rows, `${operation} lost rows`);
    requireChain(world);
    assert.equal((await world.page()).version, 'v1');
    return ended.exit !== 0;
  }

  /** What leads up to the command, with enough room; returns the command. */
  async #prepare(operation: Operation): Promise<readonly string[]> {
    const { world } = this;
    if (operation === 'backup') return ['backup', '--yes'];
    if (operation === 'restore') {
      await world.expect(0, ['backup', '--yes']);
      const listed = await world.expect(0, ['backups', '--json']);
      const { backups } = JSON.parse(listed.stdout) as {
        readonly backups: readonly { readonly id: string }[];
      };
      return ['restore', backups[0]?.id ?? '', '--yes'];
    }
    await this.#commitBad();
    if (operation === 'release') return ['release', '--yes'];
    await world.expect(0, ['release', '--yes']);
    if (operation === 'rollback') return ['rollback', '--yes'];
    await world.expect(0, ['rollback', '--yes']);
    return ['undo', '--yes'];
  }

  async #commitBad(): Promise<void> {
    this.#version += 1;
    const { world } = this;
    await world.git('checkout', '--quiet', '--detach', this.#base);
    const migrations = { '0002_bad.sql': badMigration };
    await world.commit({ version: `v${this.#version}`, column: 'feeling', migrations });
  }

  /** With room again: what was begun goes on; what ended, or never began, is asked for again. */
  async #goOn(args: readonly string[]): Promise<void> {
    const open = this.world.runs().at(-1);
    const isOpen = open !== undefined && !['done', 'failed', 'undone', 'superseded'].includes(open.status);
    if (isOpen) {
      // A release that was being undone is undone to the end, and says with its exit code that it is no release.
      const ended = await this.world.run(['resume', String(open.id)]);
      const { status } = this.world.runs().at(-1) ?? {};
      assert.equal(ended.exit, status === 'undone' ? 1 : 0, said(ended));
      if (status === 'undone') await this.world.expect(0, args);
    } else await this.world.expect(0, args);
    assert.equal(this.world.runs().at(-1)?.status, 'done');
  }
}

/** It names the error by a slug of the catalogue that is no defect, and ends with the exit code that it tells. */
function requireClear(ended: Ended, operation: Operation): void {
  const [, slug = 'none'] = /(?:FAIL|Happened) {2}([a-z-]+):\s/.exec(said(ended)) ?? [];
  const isClear = slug !== 'internal' && errorCatalogue[slug] !== undefined;
  assert.ok(isClear, `${operation} has no clear error:\n${said(ended)}`);
  const [, exit = ended.exit] = /^Exit (\d)/m.exec(said(ended)) ?? [];
  assert.equal(Number(exit), ended.exit, said(ended));
}

export interface FullDisks {
  readonly commands: number;
  readonly lacked: number;
  /** What somebody who looks for himself thinks of the last words of all commands. */
  readonly opinions: Opinions;
}

/** Without a common factor with the usual numbers: however early it ends, large and small disks were tried. */
const stride = 77;

/**
 * Each operation with each of the sizes, from 4 KB to 32 MB of room, so many commands in all, or as many as there is
 * time for. Throws at what is wrong.
 */
export async function tryFullDisks(
  program: Program,
  wanted: number,
  onTry: (text: string) => void,
  minutes: number = Number.POSITIVE_INFINITY,
): Promise<FullDisks> {
  const deadline = performance.now() + minutes * 60_000;
  // Mounting needs root: without it this fails here, by the words of `mount`.
  const full = await FullDiskWorld.make(program);
  const sizes = Math.ceil(wanted / operations.length);
  let commands = 0;
  let lacked = 0;
  try {
    for (; commands < wanted && performance.now() < deadline; commands += 1) {
      const index = (commands * stride) % wanted;
      const operation = operations[index % operations.length] ?? 'release';
      const size = Math.floor(index / operations.length);
      const bytes = Math.round(4096 * 2 ** ((size * 13) / sizes));
      onTry(`${operation} with ${bytes} bytes`);
      if (await full.try(operation, bytes)) lacked += 1;
    }
  } finally {
    await full.end();
  }
  return { commands, lacked, opinions: full.world.opinions };
}
