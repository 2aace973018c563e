import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lsnOf, lsnText } from '../../../src/providers/postgres/lsn.ts';
import { decode, type Message, ProtocolError, type Value } from '../../../src/providers/postgres/pgoutput.ts';

/** Writes messages as the server's documentation lays them out: the other way round than they are read. */
class Writer {
  readonly #parts: Buffer[] = [];

  raw(...bytes: number[]): this {
    this.#parts.push(Buffer.from(bytes));
    return this;
  }
  character(text: string): this {
    return this.raw(text.charCodeAt(0));
  }
  int16(value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    this.#parts.push(bytes);
    return this;
  }
  int32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value | 0);
    this.#parts.push(bytes);
    return this;
  }
  int64(value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    this.#parts.push(bytes);
    return this;
  }
  text(value: string): this {
    this.#parts.push(Buffer.from(value), Buffer.of(0));
    return this;
  }
  bytes(value: Buffer): this {
    this.#parts.push(value);
    return this;
  }
  row(values: readonly Value[]): this {
    this.int16(values.length);
    for (const value of values) {
      if (value === null) this.character('n');
      else if (value === undefined) this.character('u');
      else {
        const bytes = Buffer.from(value);
        this.character('t').int32(bytes.length).bytes(bytes);
      }
    }
    return this;
  }
  get done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function encode(message: Message): Buffer {
  const to = new Writer();
  const xid = (): Writer => ('xid' in message && message.xid !== undefined ? to.int32(message.xid) : to);
  switch (message.kind) {
    case 'begin':
      return to.character('B').int64(message.commitLsn).int64(message.at).int32(message.xid).done;
    case 'commit':
      return to.character('C').raw(0).int64(message.commitLsn).int64(message.endLsn).int64(message.at).done;
    case 'origin':
      return to.character('O').int64(message.lsn).text(message.name).done;
    case 'relation':
      to.character('R');
      xid().int32(message.id).text(message.schema).text(message.name).character(message.identity);
      to.int16(message.columns.length);
      for (const { isKey, name, type, modifier } of message.columns)
        to.raw(isKey ? 1 : 0)
          .text(name)
          .int32(type)
          .int32(modifier);
      return to.done;
    case 'type':
      to.character('Y');
      return xid().int32(message.id).text(message.schema).text(message.name).done;
    case 'insert':
      to.character('I');
      return xid().int32(message.relation).character('N').row(message.row).done;
    case 'update':
      to.character('U');
      xid().int32(message.relation);
      if (message.old) to.character(message.old.onlyKey ? 'K' : 'O').row(message.old.values);
      return to.character('N').row(message.row).done;
    case 'delete':
      to.character('D');
      return xid()
        .int32(message.relation)
        .character(message.old.onlyKey ? 'K' : 'O')
        .row(message.old.values).done;
    case 'truncate':
      to.character('T');
      xid()
        .int32(message.relations.length)
        .raw((message.cascade ? 1 : 0) | (message.restartIdentity ? 2 : 0));
      for (const relation of message.relations) to.int32(relation);
      return to.done;
    case 'message':
      to.character('M');
      xid()
        .raw(message.isTransactional ? 1 : 0)
        .int64(message.lsn)
        .text(message.prefix);
      return to.int32(message.content.length).bytes(message.content).done;
    case 'stream-start':
      return to
        .character('S')
        .int32(message.xid)
        .raw(message.isFirst ? 1 : 0).done;
    case 'stream-stop':
      return to.character('E').done;
    case 'stream-commit':
      to.character('c').int32(message.xid).raw(0);
      return to.int64(message.commitLsn).int64(message.endLsn).int64(message.at).done;
    case 'stream-abort':
      return to.character('A').int32(message.xid).int32(message.subxid).done;
  }
}

/** With the prototype that literals have. */
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const uint32 = fc.nat({ max: 0xffff_ffff });
const lsn = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((text) => !text.includes('\0'));
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constant(null),
  fc.constant(undefined),
);
const row = fc.array(value, { maxLength: 12 });
const old = plain({ values: row, onlyKey: fc.boolean() });
const column = plain({ isKey: fc.boolean(), name, type: uint32, modifier: fc.integer() });
const content = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const as = <K extends string>(kind: K) => ({ kind: fc.constant(kind) });

const rows = [
  plain({
    ...{ ...as('relation'), id: uint32, schema: name, name },
    ...{ identity: fc.constantFrom('d', 'n', 'f', 'i'), columns: fc.array(column, { maxLength: 12 }) },
  }),
  plain({ ...as('type'), id: uint32, schema: name, name }),
  plain({ ...as('insert'), relation: uint32, row }),
  plain({ ...as('update'), relation: uint32, old, row }),
  plain({ ...as('update'), relation: uint32, row }),
  plain({ ...as('delete'), relation: uint32, old }),
  plain({
    ...as('truncate'),
    ...{
      relations: fc.array(uint32, { maxLength: 5 }),
      cascade: fc.boolean(),
      restartIdentity: fc.boolean(),
    },
  }),
  plain({ ...as('message'), isTransactional: fc.boolean(), lsn, prefix: name, content }),
] as readonly fc.Arbitrary<Message>[];
const commit = { commitLsn: lsn, endLsn: lsn, at: lsn };
const control = [
  plain({ ...as('begin'), commitLsn: lsn, at: lsn, xid: uint32 }),
  plain({ ...as('commit'), ...commit }),
  plain({ ...as('origin'), lsn, name }),
  plain({ ...as('stream-start'), xid: uint32, isFirst: fc.boolean() }),
  plain(as('stream-stop')),
  plain({ ...as('stream-commit'), xid: uint32, ...commit }),
  plain({ ...as('stream-abort'), xid: uint32, subxid: uint32 }),
] as readonly fc.Arbitrary<Message>[];
const any = fc.oneof(...rows, ...control);

test('every message is read as it was written', () => {
  fc.assert(
    fc.property(any, (message) => assert.deepEqual(decode(encode(message)), message)),
    { numRuns: 3_000 },
  );
});

test('in a streamed transaction every message of rows carries its transaction', () => {
  fc.assert(
    fc.property(fc.oneof(...rows), uint32, (message, xid) => {
      const streamed = { ...message, xid } as Message;
      assert.deepEqual(decode(encode(streamed), true), streamed);
    }),
    { numRuns: 1_000 },
  );
});

test('what is cut off or has something after it is refused, and never read as something else', () => {
  fc.assert(
    fc.property(any, fc.nat(), (message, at) => {
      const bytes = encode(message);
      const cut = bytes.subarray(0, at % bytes.length);
      assert.throws(() => decode(cut), ProtocolError);
      assert.throws(() => decode(Buffer.concat([bytes, Buffer.of(0)])), ProtocolError);
    }),
    { numRuns: 3_000 },
  );
});

test('any bytes are read or refused, and nothing else happens', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, inStream) => {
      try {
        decode(Buffer.from(bytes), inStream);
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
    { numRuns: 10_000 },
  );
});

test('transactions that are decoded at their PREPARE are refused by name', () => {
  for (const kind of ['b', 'P', 'K', 'r', 'p'])
    assert.throws(() => decode(Buffer.from(kind)), /decoded at their PREPARE/);
});

test('places in the log are written as PostgreSQL writes them', () => {
  assert.equal(lsnText(0x16_b374_d848n), '16/B374D848');
  fc.assert(fc.property(lsn, (place) => assert.equal(lsnOf(lsnText(place)), place)));
});
