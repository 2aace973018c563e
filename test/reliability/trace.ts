import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Extent } from './work.ts';

/** What a process asked of the disk, in order. A file is its number: a name may come to mean another file. */
export type DiskOperation =
  | { readonly type: 'create'; readonly name: string; readonly file: number }
  | { readonly type: 'unlink'; readonly name: string }
  | { readonly type: 'write'; readonly file: number; readonly offset: number; readonly data: Uint8Array }
  | { readonly type: 'truncate'; readonly file: number; readonly size: number }
  | { readonly type: 'sync'; readonly file: number }
  | { readonly type: 'sync-folder' }
  /** Not of the disk: from here on somebody relies on the commit before it. */
  | { readonly type: 'acknowledged' };

const writer: string = fileURLToPath(new URL('writer-process.ts', import.meta.url));

export interface Written {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The durable files of the state in `file`, and the folder that holds their names; `-shm` is made anew after a crash. */
export function pathsOf(file: string): readonly string[] {
  return [dirname(file), file, `${file}-wal`, `${file}-journal`];
}

/** The writer under strace, which is told `options` besides where to look. */
export async function underStrace(
  options: readonly string[],
  file: string,
  acknowledged: string,
  extent: Extent,
): Promise<Written> {
  const args = [file, acknowledged, extent.rounds, extent.perOpening, extent.openings].map(String);
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', writer, ...args];
  const child = spawn('strace', [...options, ...program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { stdout, stderr, code, signal };
}

const calls = 'openat,open,creat,close,pwrite64,pwritev,write,writev,ftruncate,fallocate,fsync,fdatasync';

/** Runs the writer to its end and tells everything it asked of the disk. */
export async function record(file: string, extent: Extent): Promise<readonly DiskOperation[]> {
  const acknowledged = join(dirname(dirname(file)), 'acknowledged');
  const out = join(dirname(dirname(file)), 'trace');
  const options = ['-ff', '--seccomp-bpf', '-xx', '-s', '100000', '-o', out];
  const trace = ['-e', `trace=${calls},unlink,unlinkat,rename,renameat,renameat2`, '-e', 'signal=none'];
  const where = [...pathsOf(file), acknowledged].flatMap((path) => ['-P', path]);
  const written = await underStrace([...options, ...trace, ...where], file, acknowledged, extent);
  if (written.stdout !== 'whole\n') throw new Error(`the writer failed: ${JSON.stringify(written)}`);
  const traces = readdirSync(dirname(out)).filter((name) => name.startsWith('trace.'));
  const texts = traces.map((name) => readFileSync(join(dirname(out), name), 'latin1'));
  const [only, ...others] = texts.filter((one) => one.includes('('));
  // Of one thread the order is certain; SQLite and the acknowledgements are in the main one.
  if (only === undefined || others.length > 0)
    throw new Error(`${others.length + 1} threads wrote the state`);
  return parse(only, file, acknowledged);
}

const line = /^(\w+)\((.*)\)\s+= (-?\d+)/;

function parse(trace: string, file: string, acknowledged: string): readonly DiskOperation[] {
  const reader = new TraceReader(file, acknowledged);
  for (const one of trace.split('\n')) {
    const [, call, args, answer] = line.exec(one) ?? [];
    if (call === undefined || args === undefined || Number(answer) < 0) continue;
    reader.read(call, args, Number(answer));
  }
  return reader.operations;
}

/** What strace printed in hexadecimal. */
function bytes(quoted: string): Buffer {
  const [, hexadecimal] = /^"((?:\\x[0-9a-f]{2})*)"$/.exec(quoted) ?? [];
  if (hexadecimal === undefined) throw new Error(`not to be read: ${quoted.slice(0, 80)}`);
  return Buffer.from(hexadecimal.replaceAll('\\x', ''), 'hex');
}

class TraceReader {
  readonly operations: DiskOperation[] = [];
  readonly #folder: string;
  readonly #acknowledged: string;
  readonly #prefix: string;
  /** By descriptor: the number of a file, or what else it is open on. */
  readonly #open = new Map<number, number | 'folder' | 'acknowledged'>();
  readonly #names = new Map<string, number>();
  #files = 0;

  constructor(file: string, acknowledged: string) {
    this.#folder = dirname(file);
    this.#prefix = basename(file);
    this.#acknowledged = acknowledged;
  }

  read(call: string, args: string, answer: number): void {
    const parts = args.split(', ');
    switch (call) {
      case 'openat':
        this.#opened(bytes(parts[1] ?? '').toString(), parts[2] ?? '', answer);
        break;
      case 'close':
        this.#open.delete(Number(parts[0]));
        break;
      case 'pwrite64':
        this.#wrote(Number(parts[0]), bytes(parts[1] ?? ''), Number(parts[3]), answer);
        break;
      case 'write':
        this.#wrote(Number(parts[0]), bytes(parts[1] ?? ''), null, answer);
        break;
      case 'ftruncate':
        this.#changed(Number(parts[0]), (file) => ({
          type: 'truncate',
          file,
          size: Number(parts[1]),
        }));
        break;
      case 'fsync':
      case 'fdatasync':
        this.#synced(Number(parts[0]));
        break;
      case 'unlink':
        this.#unlinked(bytes(parts[0] ?? '').toString());
        break;
      default:
        throw new Error(`nobody has thought of ${call}(${args.slice(0, 80)})`);
    }
  }

  #opened(path: string, flags: string, descriptor: number): void {
    if (path === this.#folder) this.#open.set(descriptor, 'folder');
    else if (path === this.#acknowledged) this.#open.set(descriptor, 'acknowledged');
    else if (basename(path).startsWith(this.#prefix)) {
      const name = basename(path);
      let file = this.#names.get(name);
      if (file === undefined) {
        if (!flags.includes('O_CREAT')) throw new Error(`${name} was not made and is there`);
        this.#files += 1;
        file = this.#files;
        this.#names.set(name, file);
        this.operations.push({ type: 'create', name, file });
      } else if (flags.includes('O_TRUNC')) this.operations.push({ type: 'truncate', file, size: 0 });
      this.#open.set(descriptor, file);
    }
  }

  #changed(descriptor: number, change: (file: number) => DiskOperation): void {
    const file = this.#open.get(descriptor);
    if (typeof file !== 'number') throw new Error(`${descriptor} is open on nothing of the state`);
    this.operations.push(change(file));
  }

  #wrote(descriptor: number, data: Uint8Array, offset: number | null, answer: number): void {
    if (this.#open.get(descriptor) === 'acknowledged') {
      this.operations.push({ type: 'acknowledged' });
      return;
    }
    if (offset === null || answer !== data.length) throw new Error('a write without a place, or a short one');
    this.#changed(descriptor, (file) => ({ type: 'write', file, offset, data }));
  }

  #synced(descriptor: number): void {
    if (this.#open.get(descriptor) === 'folder') this.operations.push({ type: 'sync-folder' });
    else this.#changed(descriptor, (file) => ({ type: 'sync', file }));
  }

  #unlinked(path: string): void {
    const name = basename(path);
    if (!this.#names.delete(name)) return;
    this.operations.push({ type: 'unlink', name });
  }
}
