import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import { isSafeName } from '../../domain/names.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { ArtifactFolder } from './artifacts.ts';
import { copyWhole, hasSize, isIntact, needSpace, syncFolder, writeWhole } from './files.ts';
import { isManifest, type Manifest } from './manifest.ts';

const manifestName = 'manifest.json';

/** Private copies of what was taken in, one folder a version: a later build can't change them, nor a stranger. */
export class Staging {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Throws `name-invalid`: what is called so is removed with all that is in it. */
  path(version: string, name?: string): string {
    if (!isSafeName(version) || (name !== undefined && !isSafeName(name))) {
      throw new UnshipError('name-invalid', {
        happened: `${JSON.stringify(name ?? version)} is no artifact's name`,
      });
    }
    return name === undefined ? join(this.folder, version) : join(this.folder, version, name);
  }

  /** The manifest of a version that was taken in whole; null when there is none. */
  async find(version: string): Promise<Manifest | null> {
    try {
      const manifest: unknown = JSON.parse(await readFile(this.path(version, manifestName), 'utf8'));
      return isManifest(manifest) && manifest.version === version ? manifest : null;
    } catch {
      return null;
    }
  }

  async isWhole(manifest: Manifest, signal: AbortSignal): Promise<boolean> {
    for (const file of manifest.files) {
      if (!(await isIntact(this.path(manifest.version, file.name), file, signal))) return false;
    }
    return true;
  }

  /** Where the bytes of a staged file lie; null when they are not there. */
  async sources(manifest: Manifest): Promise<(name: string) => string | null> {
    const found = new Set<string>();
    for (const file of manifest.files) {
      if (await hasSize(this.path(manifest.version, file.name), file.size)) found.add(file.name);
    }
    return (name) => (found.has(name) ? this.path(manifest.version, name) : null);
  }

  /** Copies artifacts in; the folder gets its name only once it is whole. Replaces an earlier copy. */
  async take(context: WorkContext, artifacts: ArtifactFolder, manifest: Manifest): Promise<void> {
    const { faults } = context.runtime;
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await this.discardUnfinished(context.fence);
    await needSpace(
      this.folder,
      manifest.files.reduce((sum, file) => sum + file.size, 0),
    );
    const taking = join(this.folder, `.taking-${context.fence}-${manifest.version}`);
    await rm(taking, { recursive: true, force: true });
    await mkdir(taking, { mode: 0o700 });
    faults.point('feed.stage.before');
    for (const [index, file] of manifest.files.entries()) {
      context.progress(`taking in ${file.name}, ${index + 1} of ${manifest.files.length}`);
      const source = join(artifacts.folder, artifacts.names.get(file.name) ?? file.name);
      await copyWhole(source, join(taking, file.name), file, {
        mode: 0o600,
        mark: context.fence,
        signal: context.signal,
      });
    }
    await writeWhole(join(taking, manifestName), JSON.stringify(manifest), 0o600, context.fence);
    await rm(this.path(manifest.version), { recursive: true, force: true });
    await rename(taking, this.path(manifest.version));
    await chmod(this.path(manifest.version), 0o700);
    await syncFolder(this.folder);
    faults.point('feed.stage.after');
  }

  async drop(version: string): Promise<void> {
    await rm(this.path(version), { recursive: true, force: true });
  }

  /** What killed runs with a lower fence had begun to take in. */
  async discardUnfinished(fence: number): Promise<void> {
    for (const name of await readdir(this.folder).catch(() => [])) {
      const mark = /^\.taking-([0-9]+)-/.exec(name)?.[1];
      if (mark !== undefined && Number(mark) < fence) {
        await rm(join(this.folder, name), { recursive: true, force: true });
      }
    }
  }
}
