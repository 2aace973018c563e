import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { createEvidenceFolder } from '../../src/app/evidence-folder.ts';
import { systemRuntime } from '../../src/app/system-runtime.ts';
import { rememberConfiguration } from '../../src/config/last-released.ts';
import { openStateFolder } from '../../src/config/state-folder.ts';
import { copyFileDurably, writeFileDurably } from '../../src/databases/files.ts';
import { StateFile } from '../../src/gateway/state.ts';
import { copyWhole, digest, linkOrCopy, writeWhole } from '../../src/providers/feed/files.ts';
import { writeJson } from '../../src/providers/server/files.ts';
import { flip } from '../../src/providers/server/symlink-switch.ts';
import { encrypt } from '../../src/providers/sqlite/age-files.ts';

const swaps = 10_000;
const recipient = await identityToRecipient(await generateX25519Identity());
const untouched = 'untouched';

interface Place {
  /** Where everything is to be written. */
  readonly inside: string;
  /** A file to copy from. */
  readonly source: string;
}

interface Writing {
  readonly name: string;
  /** Every name that it opens, renames or is asked for, inside. */
  readonly links: readonly string[];
  /** Links lead to a folder rather than to a file. */
  readonly toFolder?: boolean;
  write(place: Place): Promise<void> | void;
}

const bytes = 'what is written';
const owner = { uid: process.getuid?.(), home: '/home/ada' };
const signal = new AbortController().signal;

const rememberedName = join('.checkouts', `${systemRuntime().digest('/r').slice(0, 32)}.json`);

async function recordOf(): Promise<{ name: string; size: number; sha512: string }> {
  async function* chunks(): AsyncGenerator<Buffer> {
    yield Buffer.from(bytes);
  }
  return { name: 'a.AppImage', ...(await digest(chunks(), signal)) };
}

const writings: readonly Writing[] = [
  {
    name: "a web surface's own records",
    links: [`live.json.${process.pid}.new`, 'live.json'],
    write: async ({ inside }) => await writeJson(join(inside, 'live.json'), { bytes }),
  },
  {
    name: "a database's own records: of backups, of restores, kept migrations",
    links: [`.b1.json.${process.pid}.partial`, 'b1.json'],
    write: ({ inside }) => writeFileDurably(join(inside, 'b1.json'), bytes),
  },
  {
    name: 'the second copy of a backup',
    links: ['b1.db.partial', 'b1.db'],
    write: async ({ inside, source }) => await copyFileDurably(source, join(inside, 'b1.db')),
  },
  {
    name: 'the second copy of a backup, encrypted',
    links: ['b1.db.age.partial'],
    write: async ({ inside, source }) => {
      const from = { file: source };
      await encrypt({ from, to: join(inside, 'b1.db.age.partial'), recipient });
    },
  },
  {
    name: 'the lists of a feed, and what stands by',
    links: ['.unship-7-latest.yml', 'latest.yml'],
    write: async ({ inside }) => await writeWhole(join(inside, 'latest.yml'), bytes, 0o644, 7),
  },
  {
    name: 'artifacts, staged and published',
    links: ['.unship-7-a.AppImage', 'a.AppImage'],
    write: async ({ inside, source }) => {
      const options = { mode: 0o600, mark: 7, signal };
      await copyWhole(source, join(inside, 'a.AppImage'), await recordOf(), options);
    },
  },
  {
    name: 'artifacts of a rehearsal',
    links: ['b.AppImage'],
    write: async ({ inside, source }) => await linkOrCopy(source, join(inside, 'b.AppImage')),
  },
  {
    name: 'the link that a web server follows',
    links: ['current'],
    write: async ({ inside }) => await flip(join(inside, 'current'), join(inside, 'releases', 'r1')),
  },
  {
    name: 'the state of a gateway',
    links: ['state.json.new', 'state.json'],
    write: async ({ inside }) => {
      const state = await StateFile.open(inside, () => {});
      await state.update((before) => ({ ...before, fence: before.fence + 1 }));
    },
  },
  {
    name: 'the configuration that was released',
    links: [`${rememberedName}.${process.pid}.tmp`, rememberedName],
    write: ({ inside }) => {
      const definition = { name: 'vault', environments: {} };
      rememberConfiguration(inside, { file: '', root: '/r', hash: 'h', definition }, 1);
    },
  },
  {
    name: 'the state folder',
    links: ['vault'],
    toFolder: true,
    write: ({ inside }) => {
      openStateFolder(inside, 'vault', 'production', owner);
    },
  },
  {
    name: 'evidence of a damaged journal',
    links: [`run-3-${systemRuntime().digest(bytes).slice(0, 16)}.json`],
    write: ({ inside }) => {
      createEvidenceFolder(inside, systemRuntime())(3, bytes);
    },
  },
];

interface Outside {
  readonly folder: string;
  readonly file: string;
}

function given(context: TestContext): Place & { readonly outside: Outside } {
  const top = mkdtempSync(join(tmpdir(), 'unship-links-'));
  context.after(() => rmSync(top, { recursive: true, force: true }));
  const [inside, folder, source] = [join(top, 'inside'), join(top, 'outside'), join(top, 'source')];
  mkdirSync(inside, { mode: 0o700 });
  mkdirSync(folder, { mode: 0o755 });
  mkdirSync(join(inside, '.checkouts'));
  const file = join(folder, 'file');
  writeFileSync(file, untouched, { mode: 0o640 });
  writeFileSync(source, bytes);
  return { inside, source, outside: { folder, file } };
}

function requireUntouched({ folder, file }: Outside): void {
  assert.equal(readFileSync(file, 'utf8'), untouched);
  assert.deepEqual(readdirSync(folder), ['file']);
  assert.equal(statSync(file).mode & 0o777, 0o640);
  assert.equal(statSync(folder).mode & 0o777, 0o755);
}

for (const { name, links, write, toFolder = false } of writings) {
  test(`control 27: links that lie in the way do not lead outside: ${name}`, async (context) => {
    const { outside, ...place } = given(context);
    for (const link of links) symlinkSync(toFolder ? outside.folder : outside.file, join(place.inside, link));
    await (async () => await write(place))().catch(() => undefined);
    requireUntouched(outside);
  });

  test(`control 27: a thread that swaps links 10,000 times gets nothing written outside: ${name}`, async (context) => {
    const { outside, ...place } = given(context);
    const worker = new Worker(new URL('../support/links-worker.ts', import.meta.url), {
      workerData: {
        links: links.map((link) => join(place.inside, link)),
        target: toFolder ? outside.folder : outside.file,
        times: swaps,
      },
    });
    let swapping = true;
    const ended = new Promise<void>((resolve, reject) => {
      worker.once('error', reject).once('message', () => resolve());
    }).finally(() => {
      swapping = false;
    });
    let tries = 0;
    // The link may win the race: then writing fails, and that is as it should be.
    for (; swapping; tries += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      await (async () => await write(place))().catch(() => undefined);
    }
    await ended;
    assert.ok(tries > 0);
    requireUntouched(outside);
    // Undisturbed, it does what it is for.
    for (const link of links) rmSync(join(place.inside, link), { recursive: true, force: true });
    await write(place);
    const last = join(place.inside, links.at(-1) ?? '');
    assert.ok(lstatSync(last).isSymbolicLink() ? readlinkSync(last) === 'releases/r1' : existsSync(last));
    requireUntouched(outside);
  });
}
