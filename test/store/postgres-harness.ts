import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { Keeping } from '../../src/store/keeping.ts';
import { openPostgresStore, stateSchema } from '../../src/store/open-postgres.ts';
import type { Store } from '../../src/store/store.port.ts';
import type { StoreHarness } from '../../src/testing/store-harness.ts';
import { sha256 } from '../support/arbitrary-facts.ts';
import type { PostgresCluster } from '../support/postgres-cluster.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';

/** A state of its own on a server that tests share. */
export class PostgresHarness implements StoreHarness {
  readonly application: string = `vault-${randomBytes(6).toString('hex')}`;
  readonly schema: string = stateSchema(this.application, 'production', sha256);
  readonly url: string;
  readonly #time: VirtualTime = new VirtualTime();
  readonly #opened: Store[] = [];
  readonly #cluster: PostgresCluster;
  #raw: pg.Client | undefined;

  constructor(cluster: PostgresCluster, url: string = cluster.url()) {
    this.#cluster = cluster;
    this.url = url;
  }

  /** For a process of its own, see `child.ts`. */
  get target(): string {
    return `${this.url}#${this.application}`;
  }

  async open(keeping?: Keeping, url: string = this.url): Promise<Store> {
    const wish = { url, application: this.application, environment: 'production' };
    const store = await openPostgresStore(wish, new VirtualProcess(this.#time).runtime, keeping);
    this.#opened.push(store);
    return store;
  }

  now(): number {
    return this.#time.now();
  }

  /** Behind the store's back, in its tables. */
  async query(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<readonly { readonly [column: string]: unknown }[]> {
    if (this.#raw === undefined) {
      this.#raw = await this.#cluster.connect();
      await this.#raw.query(`set search_path = "${this.schema}"`);
    }
    return (await this.#raw.query(sql, [...values])).rows;
  }

  async damage(run: number, seq: number, change: (text: string) => string): Promise<void> {
    const [row] = await this.query('select entry from journal where run = $1 and seq = $2', [run, seq]);
    const text = change(String(row?.entry));
    await this.query('update journal set entry = $1 where run = $2 and seq = $3', [text, run, seq]);
  }

  async forget(run: number, seq: number): Promise<void> {
    await this.query('delete from journal where run = $1 and seq = $2', [run, seq]);
  }

  async damagePlan(run: number, change: (text: string) => string): Promise<void> {
    const [row] = await this.query('select plan from runs where id = $1', [run]);
    await this.query('update runs set plan = $1 where id = $2', [change(String(row?.plan)), run]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#opened) await store.close();
    await this.#raw?.end();
  }
}
