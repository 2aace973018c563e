import { createReadStream, createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';

/** A transaction larger than this lies on disk until it is applied. */
const heldInMemory = 16 * 1024 * 1024;
/** Less than this is never left free on the disk. */
const keptFree = 512 * 1024 * 1024;
/** How much is written between two looks at the free space. */
const lookEvery = 64 * 1024 * 1024;

/** Where the messages of one transaction wait for its commit: in memory, and on disk from a certain size on. */
export class TransactionFrames {
  readonly #folder: string;
  readonly #limit: number;
  #frames: Buffer[] = [];
  #bytes = 0;
  #file: string | undefined;
  #written = 0;
  #nextLook = 0;
  #stream: WriteStream | undefined;
  #failed: Error | undefined;

  constructor(folder: string, limit: number = heldInMemory) {
    this.#folder = folder;
    this.#limit = limit;
  }

  get isOnDisk(): boolean {
    return this.#file !== undefined;
  }

  /** Undefined while there is room; otherwise what to wait for before the next one. */
  add(frame: Buffer): Promise<void> | undefined {
    this.#frames.push(frame);
    this.#bytes += frame.length;
    return this.#bytes > this.#limit ? this.#spill() : undefined;
  }

  async #spill(): Promise<void> {
    if (this.#written >= this.#nextLook) await this.#requireSpace();
    if (this.#stream === undefined) {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      this.#file = join(this.#folder, `transaction-${process.pid}-${Date.now()}.frames`);
      this.#stream = createWriteStream(this.#file, { flags: 'wx', mode: 0o600 });
      this.#stream.on('error', (error) => {
        this.#failed = error;
      });
    }
    const parts: Buffer[] = [];
    for (const frame of this.#frames) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(frame.length);
      parts.push(length, frame);
    }
    this.#written += this.#bytes;
    this.#frames = [];
    this.#bytes = 0;
    const stream = this.#stream;
    await new Promise<void>((resolve, reject) =>
      stream.write(Buffer.concat(parts), (error) => (error ? reject(error) : resolve())),
    );
    if (this.#failed) throw this.#failed;
  }

  async #requireSpace(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.#folder);
    this.#nextLook = this.#written + lookEvery;
    if (bavail * bsize > keptFree + lookEvery) return;
    throw new UnshipError('disk-full', {
      happened: `a transaction of more than ${this.#written + this.#bytes} bytes has to wait on disk, and ${this.#folder} has only ${bavail * bsize} bytes left`,
      done: 'what came before it is carried over; nothing of it is',
    });
  }

  /** Everything in its order, in portions. */
  async *portions(): AsyncGenerator<readonly Buffer[]> {
    if (this.#file !== undefined) {
      await this.#spill();
      const stream = this.#stream;
      if (stream !== undefined) await new Promise<void>((resolve) => stream.end(() => resolve()));
      yield* framesIn(this.#file);
      return;
    }
    if (this.#frames.length > 0) yield this.#frames;
  }

  async discard(): Promise<void> {
    this.#frames = [];
    this.#bytes = 0;
    this.#stream?.destroy();
    if (this.#file !== undefined) await rm(this.#file, { force: true });
  }
}

async function* framesIn(file: string): AsyncGenerator<readonly Buffer[]> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) {
    const bytes: Buffer = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    const frames: Buffer[] = [];
    let at = 0;
    while (at + 4 <= bytes.length) {
      const length = bytes.readUInt32BE(at);
      if (at + 4 + length > bytes.length) break;
      frames.push(bytes.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    rest = bytes.subarray(at);
    if (frames.length > 0) yield frames;
  }
}
