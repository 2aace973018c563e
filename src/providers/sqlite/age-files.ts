import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as Chunks } from 'node:stream/web';
import { Decrypter, Encrypter } from 'age-encryption';
import type { LongWork, Written } from './long-work.ts';

type Bytes = ReadableStream<Uint8Array>;

function read(file: string): Bytes {
  return Readable.toWeb(createReadStream(file, { highWaterMark: 1 << 20 })) as Bytes;
}

/** Private from its first byte on, never through a link that lies there; what it holds is hashed as it goes by. */
async function write(bytes: Bytes, file: string): Promise<Written> {
  await rm(file, { force: true });
  const hash = createHash('sha256');
  let size = 0;
  await pipeline(
    Readable.fromWeb(bytes as Chunks),
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(file, { flags: 'wx', mode: 0o600 }),
  );
  return { sha256: hash.digest('hex'), bytes: size };
}

export async function encrypt({ from, to, recipient }: LongWork['encrypt']['input']): Promise<Written> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  const plain = 'file' in from ? read(from.file) : new Blob([from.text]).stream();
  return await write(await encrypter.encrypt(plain), to);
}

export async function decrypt({ from, to, identities }: LongWork['decrypt']['input']): Promise<Written> {
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  return await write(await decrypter.decrypt(read(from)), to);
}
