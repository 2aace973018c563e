import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const project = fileURLToPath(new URL('../..', import.meta.url));

/** The program as it is published, built from this checkout into a folder of its own: never a stale `dist`. */
export interface Program extends AsyncDisposable {
  /** The file to start with Node. */
  readonly file: string;
}

export async function buildProgram(): Promise<Program> {
  const folder = await mkdtemp(join(tmpdir(), 'unship-program-'));
  try {
    await Promise.all([
      cp(join(project, 'package.json'), join(folder, 'package.json')),
      cp(join(project, 'bin'), join(folder, 'bin'), { recursive: true }),
      run(process.execPath, [join(project, 'scripts/build.ts'), '--out', join(folder, 'dist')]),
    ]);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    file: join(folder, 'bin', 'unship.js'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
