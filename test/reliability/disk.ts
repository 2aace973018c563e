import type { Random } from '../simulation/random.ts';
import type { DiskOperation } from './trace.ts';

const sector = 512;

type FileChange = Extract<DiskOperation, { readonly type: 'write' | 'truncate' }>;
type NameChange = Extract<DiskOperation, { readonly type: 'create' | 'unlink' }>;

/** Bytes that may grow. */
class Content {
  #bytes: Buffer;
  size: number;

  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  copy(): Content {
    return new Content(Buffer.from(this.bytes()));
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.size);
  }

  truncate(size: number): void {
    if (size < this.size) this.#bytes.fill(0, size, this.size);
    this.#reserve(size);
    this.size = size;
  }

  write(offset: number, data: Uint8Array): void {
    this.#reserve(offset + data.length);
    this.#bytes.set(data, offset);
    this.size = Math.max(this.size, offset + data.length);
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(size, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.size);
    this.#bytes = larger;
  }
}

class DiskFile {
  readonly durable: Content = new Content();
  #unsynced: readonly FileChange[] = [];

  change(change: FileChange): void {
    this.#unsynced = [...this.#unsynced, change];
  }

  sync(): void {
    for (const change of this.#unsynced) make(this.durable, change);
    this.#unsynced = [];
  }

  /** What is found after the power was cut: all that was synced, and of the rest whatever chance has kept. */
  found(random: Random, kept: number): Buffer {
    const content = this.durable.copy();
    for (const change of this.#unsynced) {
      if (change.type === 'write' && random.chance(0.3)) tear(content, change, random);
      else if (random.chance(kept)) make(content, change);
    }
    return content.bytes();
  }
}

function make(content: Content, change: FileChange): void {
  if (change.type === 'truncate') content.truncate(change.size);
  else content.write(change.offset, change.data);
}

/** Of a write each sector has arrived, or not, by itself. */
function tear(
  content: Content,
  { offset, data }: Extract<FileChange, { type: 'write' }>,
  random: Random,
): void {
  for (let from = 0; from < data.length; ) {
    const to = Math.min(data.length, from + sector - ((offset + from) % sector));
    if (random.chance(0.5)) content.write(offset + from, data.subarray(from, to));
    from = to;
  }
}

/**
 * A disk that keeps only what was synced: of everything else an arbitrary part, torn at its sectors. Names are kept by
 * syncing their folder, and nothing else.
 */
export class Disk {
  /** Commits that somebody relies on. */
  acknowledged = 0;
  readonly #files = new Map<number, DiskFile>();
  readonly #names = new Map<string, number>();
  #unsyncedNames: readonly NameChange[] = [];

  /** `isHonest` is false for a sync that says it has, and has not. */
  apply(operation: DiskOperation, isHonest: boolean = true): void {
    switch (operation.type) {
      case 'acknowledged':
        this.acknowledged += 1;
        break;
      case 'create':
        this.#files.set(operation.file, new DiskFile());
        this.#unsyncedNames = [...this.#unsyncedNames, operation];
        break;
      case 'unlink':
        this.#unsyncedNames = [...this.#unsyncedNames, operation];
        break;
      case 'sync-folder':
        if (!isHonest) break;
        for (const change of this.#unsyncedNames) rename(this.#names, change);
        this.#unsyncedNames = [];
        break;
      case 'sync':
        if (isHonest) this.#files.get(operation.file)?.sync();
        break;
      default:
        this.#files.get(operation.file)?.change(operation);
    }
  }

  /** The files as they are found when the power is cut now. */
  image(random: Random): ReadonlyMap<string, Buffer> {
    // Mostly a mixture; now and then all or nothing, which a real disk does most of the time.
    const kept = random.pick([0, 0.25, 0.5, 0.75, 1]);
    const names = new Map(this.#names);
    for (const change of this.#unsyncedNames) if (random.chance(kept)) rename(names, change);
    return new Map(
      [...names].map(([name, file]) => [name, this.#files.get(file)?.found(random, kept) ?? Buffer.alloc(0)]),
    );
  }

  /** The files as everybody sees them while the power is on. */
  seen(): ReadonlyMap<string, Buffer> {
    this.apply({ type: 'sync-folder' });
    for (const file of this.#files.values()) file.sync();
    return new Map(
      [...this.#names].map(([name, file]) => [
        name,
        this.#files.get(file)?.durable.bytes() ?? Buffer.alloc(0),
      ]),
    );
  }
}

function rename(names: Map<string, number>, change: NameChange): void {
  if (change.type === 'create') names.set(change.name, change.file);
  else names.delete(change.name);
}
