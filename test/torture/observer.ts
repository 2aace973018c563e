import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Row, World } from '../support/world.ts';
import { until } from '../support/world.ts';

/** A row as it was acknowledged, and by which side. */
export interface Acknowledged {
  readonly id: number;
  readonly body: string;
  readonly mood: string;
  readonly feeling: string;
}

/** Who writes what: the good code knows moods, the bad one feelings. */
export type Side = 'good' | 'bad';

/** What the rows have to be on either schema: given back as they were written, or as the migration makes them. */
export function expectedRows(rows: readonly Acknowledged[], side: Side): readonly Row[] {
  return rows.map(({ id, body, mood, feeling }) =>
    side === 'good' ? { id, body, mood } : { id, body: body.toUpperCase(), feeling },
  );
}

/** A webhook on this machine: counts what arrives, by key. */
export class Webhook {
  readonly keys: string[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Webhook> {
    const server = createServer();
    const webhook = new Webhook(server);
    server.on('request', (request, response) => {
      webhook.keys.push(String(request.headers['idempotency-key']));
      request.resume().on('end', () => response.end('ok'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return webhook;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  /** What arrived since the first `count` messages, each key once. */
  distinctSince(count: number): readonly string[] {
    return [...new Set(this.keys.slice(count))];
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Files that only exist while something is under way. */
const passing = /\.partial$|\.new$|\.tmp$|^\.staging-|^\.removing-|^rehearsal-|\.unship-|-journal$/;

/** The gateway's lock is held as an open transaction for as long as it lives. */
const expectedLeftovers = new Set(['lock.db-journal']);

export function leftovers(world: World): readonly string[] {
  return [world.stateBase, world.feed].flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(({ name }) => passing.test(name) && !expectedLeftovers.has(name))
      .map(({ parentPath, name }) => join(parentPath, name)),
  );
}

/** The journals as they lie in the state, their chains computed anew. */
export function requireChain(world: World): void {
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  world.readState((database) => {
    const runs = database.prepare('select id, plan, head from runs').all();
    const entries = database.prepare('select seq, entry, hash from journal where run = ? order by seq');
    for (const { id, plan, head } of runs) {
      let hash = sha256(`run ${id}\n${plan}`);
      let seq = 0;
      for (const row of entries.all(Number(id))) {
        seq += 1;
        hash = sha256(`${hash}\n${row.entry}`);
        assert.equal(row.seq, seq, `journal of run ${id} has no entry ${seq}`);
        assert.equal(row.hash, hash, `entry ${seq} of run ${id} does not match the chain`);
      }
      assert.equal(head, hash, `run ${id} lacks entries at the end`);
    }
  });
}

export interface Expected {
  readonly release: string;
  readonly version: string;
  readonly side: Side;
  readonly desktop: string;
  readonly rows: readonly Acknowledged[];
}

/** What people meet: the page, their rows, the schema under it, and what desktop clients are offered. */
export async function requireServed(world: World, expected: Expected): Promise<void> {
  const page = await world.page();
  const rows = expectedRows(expected.rows, expected.side);
  assert.equal(page.release, expected.release, 'the live address serves another release');
  assert.equal(page.version, expected.version, 'the live address serves another version');
  assert.deepEqual(page.rows, rows, 'the page shows other rows');
  assert.deepEqual([...world.rows()], rows, 'the database holds other rows');
  assert.deepEqual(world.ledger(), expected.side === 'good' ? ['0001'] : ['0001', '0002']);
  assert.deepEqual(world.columns(), columns[expected.side], 'the schema is another one');
  assert.equal(world.offered(), expected.desktop, 'the feed offers another version');
}

/** The whole world as an outsider sees it: what is served, offered, stored and recorded. */
export async function requireState(world: World, expected: Expected): Promise<void> {
  await requireServed(world, expected);
  const releases = world.releases();
  const live = releases.filter((release) => release.deployment === 'live').map((release) => release.id);
  assert.deepEqual(live, [expected.release], 'not exactly one release is recorded as live');
  const pending = releases.filter((release) => release.deployment === 'pending').map((release) => release.id);
  assert.deepEqual(pending, [], 'a release is left pending');
  const open = world.runs().filter(({ status }) => !ended.has(status));
  assert.deepEqual(open, [], 'a run has not ended');
  requireChain(world);
  requireBackups(world);
  assert.deepEqual(leftovers(world), [], 'temporary files are left');
  await requireProcesses(world, expected.release);
}

const ended = new Set(['done', 'failed', 'undone', 'superseded']);

const columns = {
  good: ['body TEXT', 'id INTEGER', "mood TEXT 'none'"],
  bad: ['body TEXT', "feeling TEXT 'unknown'", 'id INTEGER'],
} as const;

/** No run has taken its backup twice. */
function requireBackups(world: World): void {
  const folder = join(world.stateFolder(), 'surfaces', 'database', 'backups');
  const names = readdirSync(folder).filter((name) => name.endsWith('.db'));
  const runs = world.runs().filter(({ kind }) => kind === 'release' || kind === 'undo');
  for (const release of new Set(names.map((name) => name.split('-')[0] ?? ''))) {
    const made = names.filter((name) => name.startsWith(`${release}-`)).length;
    const wanted = runs.filter(({ to }) => to === release).length;
    assert.ok(made <= wanted, `${made} backups of ${release}, and ${wanted} runs that take one`);
  }
}

/** Only the gateway and the live release run; what was retired has a moment to end. */
async function requireProcesses(world: World, release: string): Promise<void> {
  const strangers = (): readonly string[] =>
    world
      .processes()
      .filter(({ command, cwd }) => !command.includes('gateway.js') && !cwd.includes(`/releases/${release}-`))
      .map(({ command, cwd }) => `${command} in ${cwd}`);
  if (!(await until(() => strangers().length === 0, 5000))) {
    assert.fail(`processes are left: ${strangers().join('; ')}`);
  }
  const gateways = world.processes().filter(({ command }) => command.includes('gateway.js'));
  assert.equal(gateways.length, 1, `${gateways.length} gateways run`);
}
