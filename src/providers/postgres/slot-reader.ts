import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { messageOf, UnshipError } from '../../domain/errors.ts';
import { type Connection, connect, identifier, literal } from './connection.ts';
import { lsnText } from './lsn.ts';
import { decode, type Message, ProtocolError } from './pgoutput.ts';
import { TransactionFrames } from './transaction-frames.ts';

/**
 * How values become text, the same in every session of ours: what one of them writes, another one compares.
 * Floats are whole, dates don't depend on where the server stands.
 */
export const sameTexts = `SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
  SET extra_float_digits = 3; SET bytea_output = 'hex'; SET client_encoding = 'UTF8'; SET lc_monetary = 'C'`;

export interface SlotWish {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  /** What is applied already: nothing up to here is delivered again. */
  readonly from: bigint;
  /** Transactions with this origin or with this mark as a message are the migration's own. */
  readonly origin: string;
  readonly mark: { readonly prefix: string; readonly content: string };
  /** For transactions that are too large for memory. */
  readonly folder: string;
  /** Default 16 MiB. */
  readonly heldInMemory?: number;
  /** How long a lost connection is asked for again. Default 60 s. */
  readonly reconnectWithinMs?: number;
  readonly signal: AbortSignal;
}

/** A committed transaction, in the order of commits. */
export interface Transaction {
  readonly xid: number;
  readonly endLsn: bigint;
  readonly commitLsn: bigint;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The migration's own: of it there are only the descriptions of tables. */
  readonly isMarked: boolean;
  /** Contents of the logical messages with our prefix. */
  readonly tokens: readonly string[];
  readonly frames: TransactionFrames;
}

interface Open {
  readonly xid: number;
  readonly at: number;
  readonly tokens: string[];
  frames: TransactionFrames;
  isMarked: boolean;
}

/** Inner parts of `pg` that replication needs and its types leave out. */
interface Wire {
  readonly stream: { pause(): void; resume(): void; destroy(): void };
  query(text: string): void;
  sendCopyFromChunk(bytes: Buffer): void;
}

const statusEveryMs = 5_000;
const inboxLimit = 8 * 1024 * 1024;
const readyLimit = 2_000;
const epochOf2000 = 946_684_800_000;

/** States that a later attempt can't mend: what was not read yet is gone. */
const lostCodes = new Set(['42704', '55000', '58P01']);

/**
 * Reads a slot as the server's walsender sends it. Only what `acknowledge` was told is confirmed to the server: what
 * was received and not applied comes again after a crash.
 */
export class SlotReader implements AsyncDisposable {
  readonly #wish: SlotWish;
  #connection: Connection | undefined;
  #inbox: Buffer[] = [];
  #inboxBytes = 0;
  #ready: Transaction[] = [];
  #open: Open | undefined;
  #delivered: bigint;
  #applied: bigint;
  #seen = 0n;
  #isPumping = false;
  #isPaused = false;
  #isEnded = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #timer: NodeJS.Timeout;

  private constructor(wish: SlotWish) {
    this.#wish = wish;
    this.#delivered = wish.from;
    this.#applied = wish.from;
    this.#timer = setInterval(() => this.#sendStatus(), statusEveryMs);
    this.#timer.unref();
  }

  static async open(wish: SlotWish): Promise<SlotReader> {
    const reader = new SlotReader(wish);
    try {
      await reader.#connect();
    } catch (error) {
      await reader[Symbol.asyncDispose]();
      throw error;
    }
    return reader;
  }

  /** How far the server has sent. */
  get seen(): bigint {
    return this.#seen;
  }

  get backend(): number | undefined {
    return (this.#connection?.client as (Client & { processID?: number }) | undefined)?.processID;
  }

  /** What has been committed and not been taken yet; waits for the first one, `withinMs` at most. */
  async take(limit: number, withinMs: number): Promise<readonly Transaction[]> {
    const until = performance.now() + withinMs;
    while (this.#ready.length === 0) {
      if (this.#failure) throw this.#failure;
      this.#wish.signal.throwIfAborted();
      const left = until - performance.now();
      if (left <= 0) return [];
      await this.#change(Math.min(left, 500));
    }
    const taken = this.#ready.splice(0, limit);
    this.#flow();
    void this.#pump();
    return taken;
  }

  /** Up to here everything is applied and committed. */
  acknowledge(lsn: bigint): void {
    if (lsn > this.#applied) this.#applied = lsn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    clearInterval(this.#timer);
    this.#sendStatus();
    const connection = this.#connection;
    this.#connection = undefined;
    await this.#forget();
    for (const { frames } of this.#ready.splice(0)) await frames.discard();
    if (connection === undefined) return;
    // A walsender goes on sending until it notices; nobody waits for the end of that.
    wireOf(connection).stream.destroy();
    await connection[Symbol.asyncDispose]();
  }

  async #connect(): Promise<void> {
    const until = performance.now() + (this.#wish.reconnectWithinMs ?? 60_000);
    for (;;) {
      try {
        return await this.#start();
      } catch (error) {
        const isLost = lostCodes.has(codeOf(error));
        if (isLost) throw lost(this.#wish.slot, error);
        if (this.#isEnded || performance.now() > until) throw error;
        this.#wish.signal.throwIfAborted();
        await sleep(200);
      }
    }
  }

  async #start(): Promise<void> {
    const { url, slot, publication } = this.#wish;
    const connection = await connect(url, { purpose: 'reading changes', replication: true });
    try {
      await connection.run(sameTexts);
      await this.#startReplication(
        connection,
        `START_REPLICATION SLOT ${identifier(slot)} LOGICAL ${lsnText(this.#delivered)}
         (proto_version '1', publication_names ${literal(identifier(publication)).trim()}, messages 'true')`,
      );
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
    if (this.#isEnded) return await connection[Symbol.asyncDispose]();
    this.#connection = connection;
  }

  #startReplication(connection: Connection, command: string): Promise<void> {
    const nothing = (): void => {};
    return new Promise((resolve, reject) => {
      const wire = wireOf(connection);
      let isStarted = false;
      (wire as unknown as NodeJS.EventEmitter).once('replicationStart', () => {
        isStarted = true;
        resolve();
      });
      const ended = (error: Error): void => {
        if (isStarted) void this.#dropped(connection, error);
        else reject(error);
      };
      connection.client.query({
        submit: () => wire.query(command),
        handleCopyData: ({ chunk }: { readonly chunk: Buffer }) => this.#receive(chunk),
        handleError: ended,
        handleReadyForQuery: () => ended(new Error('the server ended the stream')),
        ...{ handleRowDescription: nothing, handleDataRow: nothing, handleCommandComplete: nothing },
        ...{ handleEmptyQuery: nothing, handlePortalSuspended: nothing, handleCopyInResponse: nothing },
      } as never);
      connection.client.once('end', () => ended(new Error('the connection was closed')));
    });
  }

  async #dropped(connection: Connection, error: Error): Promise<void> {
    if (this.#isEnded || this.#connection !== connection) return;
    this.#connection = undefined;
    await connection[Symbol.asyncDispose]();
    if (lostCodes.has(codeOf(error))) return this.#fail(lost(this.#wish.slot, error));
    // What was cut off comes again from its beginning.
    await this.#idle();
    await this.#forget();
    try {
      await this.#connect();
    } catch (again) {
      this.#fail(again);
    }
  }

  async #forget(): Promise<void> {
    this.#inbox = [];
    this.#inboxBytes = 0;
    const open = this.#open;
    this.#open = undefined;
    await open?.frames.discard();
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#notify();
  }

  #receive(chunk: Buffer): void {
    // The parser of `pg` uses its memory again.
    this.#inbox.push(Buffer.from(chunk));
    this.#inboxBytes += chunk.length;
    this.#flow();
    void this.#pump();
  }

  #flow(): void {
    const isFull = this.#inboxBytes > inboxLimit || this.#ready.length > readyLimit;
    if (isFull === this.#isPaused || this.#connection === undefined) return;
    this.#isPaused = isFull;
    const { stream } = wireOf(this.#connection);
    if (isFull) stream.pause();
    else stream.resume();
  }

  async #idle(): Promise<void> {
    while (this.#isPumping) await sleep(5);
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      for (let at = 0; at < this.#inbox.length; at += 1) {
        const chunk = this.#inbox[at] as Buffer;
        this.#inboxBytes -= chunk.length;
        const work = this.#handle(chunk);
        if (work === undefined) continue;
        // While it is written to disk more may come in: the list is cut to what is left.
        this.#inbox.splice(0, at + 1);
        at = -1;
        await work;
      }
      this.#inbox = [];
      this.#flow();
    } catch (error) {
      this.#fail(error instanceof ProtocolError ? unreadable(error) : error);
    } finally {
      this.#isPumping = false;
    }
  }

  #handle(chunk: Buffer): Promise<void> | undefined {
    if (chunk[0] === 0x77) {
      const walEnd = chunk.readBigUInt64BE(9);
      if (walEnd > this.#seen) this.#seen = walEnd;
      return this.#message(chunk.subarray(25));
    }
    if (chunk[0] === 0x6b) this.#keepAlive(chunk.readBigUInt64BE(1), chunk[17] === 1);
    return undefined;
  }

  #keepAlive(walEnd: bigint, wantsReply: boolean): void {
    if (walEnd > this.#seen) this.#seen = walEnd;
    const isIdle = this.#open === undefined && this.#ready.length === 0 && this.#applied >= this.#delivered;
    // Nothing of ours lies in between: otherwise the log of all other tables would be kept for us.
    if (isIdle && walEnd > this.#applied) {
      this.#applied = walEnd;
      this.#delivered = walEnd;
    }
    if (wantsReply) this.#sendStatus();
  }

  #message(bytes: Buffer): Promise<void> | undefined {
    const kind = String.fromCharCode(bytes[0] ?? 0);
    const open = this.#open;
    // Rows and descriptions are only read once it is known whose they are.
    if (open !== undefined && 'IUDTRY'.includes(kind)) {
      if (open.isMarked && kind !== 'R') return undefined;
      return open.frames.add(bytes);
    }
    return this.#control(decode(bytes));
  }

  #control(message: Message): Promise<void> | undefined {
    const { origin, mark, folder, heldInMemory } = this.#wish;
    if (message.kind === 'begin') {
      const frames = new TransactionFrames(folder, heldInMemory);
      const at = Number(message.at / 1_000n) + epochOf2000;
      this.#open = { xid: message.xid, at, tokens: [], frames, isMarked: false };
    } else if (message.kind === 'origin') {
      if (message.name === origin) return this.#markOpen();
    } else if (message.kind === 'message') {
      if (!message.isTransactional || message.prefix !== mark.prefix) return undefined;
      const content = message.content.toString('utf8');
      if (content === mark.content) return this.#markOpen();
      this.#open?.tokens.push(content);
    } else if (message.kind === 'commit') {
      return this.#close(message.commitLsn, message.endLsn);
    } else {
      throw new ProtocolError(`${message.kind} outside of a transaction`);
    }
    return undefined;
  }

  #markOpen(): Promise<void> | undefined {
    const open = this.#open;
    if (open === undefined || open.isMarked) return undefined;
    open.isMarked = true;
    return this.#keepRelations(open);
  }

  /** A mark may come after rows: those go, the descriptions of tables stay, as they are sent only once. */
  async #keepRelations(open: Open): Promise<void> {
    const all = open.frames;
    open.frames = new TransactionFrames(this.#wish.folder, this.#wish.heldInMemory);
    for await (const portion of all.portions()) {
      for (const frame of portion) if (frame[0] === 0x52) await open.frames.add(Buffer.from(frame));
    }
    await all.discard();
  }

  #close(commitLsn: bigint, endLsn: bigint): Promise<void> | undefined {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) throw new ProtocolError('a commit without its beginning');
    if (endLsn <= this.#delivered) return open.frames.discard();
    this.#delivered = endLsn;
    this.#ready.push({ ...open, commitLsn, endLsn });
    this.#notify();
    return undefined;
  }

  #sendStatus(): void {
    if (this.#connection === undefined) return;
    const status = Buffer.alloc(34);
    status[0] = 0x72;
    for (const at of [1, 9, 17]) status.writeBigUInt64BE(this.#applied, at);
    status.writeBigInt64BE(BigInt(Date.now() - epochOf2000) * 1_000n, 25);
    wireOf(this.#connection).sendCopyFromChunk(status);
  }

  #notify(): void {
    this.#wake?.();
  }

  #change(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function wireOf(connection: Connection): Wire {
  return (connection.client as unknown as { readonly connection: Wire }).connection;
}

/** SQLSTATE of what a server said; empty for anything else. */
export function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

function lost(slot: string, cause: unknown): UnshipError {
  return new UnshipError('capture-lost', {
    happened: `the server has no changes left for slot ${slot}: ${messageOf(cause)}`,
    done: 'the live database is as it was',
    cause,
  });
}

function unreadable(cause: ProtocolError): UnshipError {
  return new UnshipError('capture-lost', {
    happened: `the stream of changes can't be read: ${cause.message}`,
    done: 'nothing of the transaction in question was applied',
    cause,
  });
}
