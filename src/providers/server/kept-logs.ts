import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json } from '../../domain/json.ts';
import type { SecretsIn } from '../../domain/secret.ts';
import { member, readJson, writeJson } from './files.ts';

/** Bytes that are looked at in one piece. */
const pieceBytes = 1024 * 1024;

/**
 * Covers secrets in the logs of released processes. They print straight into their files, so that they live on when
 * the gateway dies, and the gateway, which everybody can reach, knows no secret. Commands do. So it is done afterwards,
 * byte for byte in its place: a process goes on adding to the same file meanwhile.
 */
export async function coverSecrets(gateway: string, secretsIn: SecretsIn): Promise<void> {
  const folder = join(gateway, 'logs');
  const names = (await readdir(folder).catch(() => [])).filter((name) => /\.log(\.1)?$/.test(name));
  if (names.length === 0) return;
  const memory = join(gateway, 'covered.json');
  const before = await readJson(memory);
  const after: { [name: string]: { [K in keyof Covered]: number } } = {};
  for (const name of names) {
    const known = coveredOf(member(before, name));
    // A log that was put aside was written as a whole, and the one beside it begun anew.
    const aside = await changedAt(join(folder, asideOf(name)));
    const { size } = await lstat(join(folder, name));
    const isSame = known !== undefined && known.aside === aside && known.until <= size;
    const until = await cover(join(folder, name), isSame ? known.until : 0, secretsIn);
    after[name] = { until, aside: 0 };
  }
  for (const name of names) {
    // Covering it has changed it.
    after[name] = { until: after[name]?.until ?? 0, aside: await changedAt(join(folder, asideOf(name))) };
  }
  if (JSON.stringify(after) !== JSON.stringify(before)) await writeJson(memory, after);
}

/** How far a file has been covered, and when what was put aside of the same log was last written. */
interface Covered {
  readonly until: number;
  readonly aside: number;
}

function coveredOf(value: Json | undefined): Covered | undefined {
  const [until, aside] = [member(value, 'until'), member(value, 'aside')];
  return typeof until === 'number' && typeof aside === 'number' ? { until, aside } : undefined;
}

function asideOf(name: string): string {
  return name.endsWith('.1') ? name : `${name}.1`;
}

/** 0 when it is not there. */
async function changedAt(file: string): Promise<number> {
  return await lstat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

/** Whole lines only: the rest of the last one is still to come. Returns up to where it was covered. */
async function cover(path: string, from: number, secretsIn: SecretsIn): Promise<number> {
  // Not through a link: what it points to is no log of ours.
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    for (let at = from; ; ) {
      const piece = await readPiece(file, at);
      if (piece.length === 0) return at;
      const covered = withoutSecrets(piece, secretsIn);
      if (!covered.equals(piece)) await file.write(covered, 0, covered.length, at);
      at += piece.length;
    }
  } finally {
    await file.close();
  }
}

async function readPiece(file: FileHandle, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(pieceBytes), 0, pieceBytes, at);
  const lines = buffer.subarray(0, buffer.lastIndexOf('\n', bytesRead - 1) + 1);
  return lines.length === 0 && bytesRead === pieceBytes ? buffer : lines;
}

/** As long as it was. What is no UTF-8 is read byte by byte, so that none is lost. */
function withoutSecrets(piece: Buffer, secretsIn: SecretsIn): Buffer {
  const encoding = Buffer.from(piece.toString('utf8')).equals(piece) ? 'utf8' : 'latin1';
  const text = piece.toString(encoding);
  let covered = '';
  let at = 0;
  for (const [from, to] of secretsIn(text)) {
    covered += text.slice(at, from) + '*'.repeat(Buffer.byteLength(text.slice(from, to), encoding));
    at = to;
  }
  return at === 0 ? piece : Buffer.from(covered + text.slice(at), encoding);
}
