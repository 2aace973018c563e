/**
 * Messages of the `pgoutput` plug-in, protocol versions 1 and 2, as PostgreSQL documents them under "Logical
 * Replication Message Formats". Values arrive as text.
 */

/** A value of a row: text, NULL, or `undefined` where the server left it out because it is unchanged and stored apart. */
export type Value = string | null | undefined;

export interface RelationColumn {
  readonly name: string;
  readonly isKey: boolean;
  readonly type: number;
  readonly modifier: number;
}

/** A table as it is named in the changes after it. Generated and dropped columns are left out by the server. */
export interface Relation {
  readonly kind: 'relation';
  readonly xid?: number;
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  readonly identity: string;
  readonly columns: readonly RelationColumn[];
}

export interface Begin {
  readonly kind: 'begin';
  /** Where the commit record begins. */
  readonly commitLsn: bigint;
  /** Microseconds since the start of 2000. */
  readonly at: bigint;
  readonly xid: number;
}

export interface Commit {
  readonly kind: 'commit';
  readonly commitLsn: bigint;
  /** Where the next record begins: what is acknowledged once this transaction is applied. */
  readonly endLsn: bigint;
  readonly at: bigint;
}

/** The whole old row, its key only (`onlyKey`), or none where the identity tells none and the key is unchanged. */
export interface OldRow {
  readonly values: readonly Value[];
  readonly onlyKey: boolean;
}

interface OfTransaction {
  /** Only in the pieces of a transaction that is streamed before its commit. */
  readonly xid?: number;
}

export interface Insert extends OfTransaction {
  readonly kind: 'insert';
  readonly relation: number;
  readonly row: readonly Value[];
}

export interface Update extends OfTransaction {
  readonly kind: 'update';
  readonly relation: number;
  readonly old?: OldRow;
  readonly row: readonly Value[];
}

export interface Delete extends OfTransaction {
  readonly kind: 'delete';
  readonly relation: number;
  readonly old: OldRow;
}

export interface Truncate extends OfTransaction {
  readonly kind: 'truncate';
  readonly relations: readonly number[];
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
}

export interface LogicalMessage extends OfTransaction {
  readonly kind: 'message';
  readonly isTransactional: boolean;
  readonly lsn: bigint;
  readonly prefix: string;
  readonly content: Buffer;
}

export type Message =
  | Begin
  | Commit
  | Relation
  | Insert
  | Update
  | Delete
  | Truncate
  | LogicalMessage
  | { readonly kind: 'origin'; readonly lsn: bigint; readonly name: string }
  | {
      readonly kind: 'type';
      readonly xid?: number;
      readonly id: number;
      readonly schema: string;
      readonly name: string;
    }
  | { readonly kind: 'stream-start'; readonly xid: number; readonly isFirst: boolean }
  | { readonly kind: 'stream-stop' }
  | (Omit<Commit, 'kind'> & { readonly kind: 'stream-commit'; readonly xid: number })
  | { readonly kind: 'stream-abort'; readonly xid: number; readonly subxid: number };

/** What is not understood is not guessed at: a change that is read wrongly would be a wrong value. */
export class ProtocolError extends Error {}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    this.#need(1);
    const value = this.#bytes[this.#at] ?? 0;
    this.#at += 1;
    return value;
  }

  character(): string {
    return String.fromCharCode(this.byte());
  }

  int16(): number {
    this.#need(2);
    this.#at += 2;
    return this.#bytes.readUInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#need(4);
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  signed32(): number {
    this.#need(4);
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#need(8);
    this.#at += 8;
    return this.#bytes.readBigUInt64BE(this.#at - 8);
  }

  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new ProtocolError('a name has no end');
    const value = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return value;
  }

  string(length: number): string {
    this.#need(length);
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }

  bytes(length: number): Buffer {
    this.#need(length);
    this.#at += length;
    return Buffer.from(this.#bytes.subarray(this.#at - length, this.#at));
  }

  end(): void {
    if (this.#at !== this.#bytes.length)
      throw new ProtocolError(`${this.#bytes.length - this.#at} bytes are left over`);
  }

  #need(length: number): void {
    if (this.#at + length > this.#bytes.length) throw new ProtocolError('a message is cut off');
  }
}

function row(reader: Reader): readonly Value[] {
  const count = reader.int16();
  const values: Value[] = new Array(count);
  for (let at = 0; at < count; at += 1) {
    const kind = reader.byte();
    // t, n, u as documented; binary values are never asked for.
    if (kind === 0x74) values[at] = reader.string(reader.int32());
    else if (kind === 0x6e) values[at] = null;
    else if (kind === 0x75) values[at] = undefined;
    else throw new ProtocolError(`a value of the kind ${kind}`);
  }
  return values;
}

function relation(reader: Reader, xid: { xid?: number }): Relation {
  const id = reader.int32();
  const schema = reader.text();
  const name = reader.text();
  const identity = reader.character();
  const count = reader.int16();
  const columns: RelationColumn[] = [];
  for (let at = 0; at < count; at += 1) {
    const isKey = (reader.byte() & 1) === 1;
    columns.push({ isKey, name: reader.text(), type: reader.int32(), modifier: reader.signed32() });
  }
  // pg_catalog arrives as an empty name.
  return { kind: 'relation', ...xid, id, schema: schema || 'pg_catalog', name, identity, columns };
}

function newRow(reader: Reader): readonly Value[] {
  if (reader.character() !== 'N') throw new ProtocolError('a new row was expected');
  return row(reader);
}

function update(reader: Reader, xid: { xid?: number }): Update {
  const relationId = reader.int32();
  const mark = reader.character();
  if (mark === 'N') return { kind: 'update', ...xid, relation: relationId, row: row(reader) };
  if (mark !== 'K' && mark !== 'O') throw new ProtocolError(`an update with ${mark}`);
  const old = { onlyKey: mark === 'K', values: row(reader) };
  return { kind: 'update', ...xid, relation: relationId, old, row: newRow(reader) };
}

function deletion(reader: Reader, xid: { xid?: number }): Delete {
  const relationId = reader.int32();
  const mark = reader.character();
  if (mark !== 'K' && mark !== 'O') throw new ProtocolError(`a delete with ${mark}`);
  return {
    kind: 'delete',
    ...xid,
    relation: relationId,
    old: { onlyKey: mark === 'K', values: row(reader) },
  };
}

function truncate(reader: Reader, xid: { xid?: number }): Truncate {
  const count = reader.int32();
  const options = reader.byte();
  const relations = Array.from({ length: count }, () => reader.int32());
  const flags = { cascade: (options & 1) !== 0, restartIdentity: (options & 2) !== 0 };
  return { kind: 'truncate', ...xid, relations, ...flags };
}

function logicalMessage(reader: Reader, xid: { xid?: number }): LogicalMessage {
  const isTransactional = (reader.byte() & 1) === 1;
  const lsn = reader.int64();
  const prefix = reader.text();
  return { kind: 'message', ...xid, isTransactional, lsn, prefix, content: reader.bytes(reader.int32()) };
}

function commit(reader: Reader): Omit<Commit, 'kind'> {
  reader.byte();
  return { commitLsn: reader.int64(), endLsn: reader.int64(), at: reader.int64() };
}

const preparing = new Set(['b', 'P', 'K', 'r', 'p']);

/**
 * Reads one message. `inStream`: it stands between the start and the stop of a piece of a transaction that is still
 * under way, where each message carries that transaction's id. Throws `ProtocolError`.
 */
export function decode(bytes: Buffer, inStream = false): Message {
  const reader = new Reader(bytes);
  const message = read(reader, inStream);
  reader.end();
  return message;
}

function read(reader: Reader, inStream: boolean): Message {
  const kind = reader.character();
  const xid = inStream && 'RYIUDTM'.includes(kind) ? { xid: reader.int32() } : {};
  switch (kind) {
    case 'B':
      return { kind: 'begin', commitLsn: reader.int64(), at: reader.int64(), xid: reader.int32() };
    case 'C':
      return { kind: 'commit', ...commit(reader) };
    case 'O':
      return { kind: 'origin', lsn: reader.int64(), name: reader.text() };
    case 'R':
      return relation(reader, xid);
    case 'Y':
      return { kind: 'type', ...xid, id: reader.int32(), schema: reader.text(), name: reader.text() };
    case 'I':
      return { kind: 'insert', ...xid, relation: reader.int32(), row: newRow(reader) };
    case 'U':
      return update(reader, xid);
    case 'D':
      return deletion(reader, xid);
    case 'T':
      return truncate(reader, xid);
    case 'M':
      return logicalMessage(reader, xid);
    case 'S':
      return { kind: 'stream-start', xid: reader.int32(), isFirst: reader.byte() === 1 };
    case 'E':
      return { kind: 'stream-stop' };
    case 'c':
      return { kind: 'stream-commit', xid: reader.int32(), ...commit(reader) };
    case 'A':
      return { kind: 'stream-abort', xid: reader.int32(), subxid: reader.int32() };
    default:
      if (preparing.has(kind))
        throw new ProtocolError(
          'transactions are decoded at their PREPARE: the slot was made with two_phase',
        );
      throw new ProtocolError(`a message of the kind ${JSON.stringify(kind)}`);
  }
}
