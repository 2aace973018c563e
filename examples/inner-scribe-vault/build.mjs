import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// web/ becomes dist/: every file but the page gets its content's hash into its name, so that browsers may keep
// it for ever and two releases never share one.
const from = join(import.meta.dirname, 'web');
const to = join(import.meta.dirname, 'dist');

const names = (await readdir(from)).filter((name) => name !== 'index.html').sort();
const contents = new Map();
for (const name of names) contents.set(name, await readFile(join(from, name)));

const assets = {};
for (const [name, content] of contents) {
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 12);
  assets[name] = name.replace(/(\.[a-z]+)$/, `.${hash}$1`);
}

let page = await readFile(join(from, 'index.html'), 'utf8');
for (const [name, hashed] of Object.entries(assets)) {
  const reference = `"/${name}`;
  if (!page.includes(reference))
    throw new Error(`web/index.html does not mention /${name}: is it still needed?`);
  page = page.replaceAll(reference, `"/${hashed}`);
}

await rm(to, { recursive: true, force: true });
await mkdir(to);
for (const [name, content] of contents) await writeFile(join(to, assets[name]), content);
await writeFile(join(to, 'index.html'), page);
const info = { node: process.version, commit: process.env.UNSHIP_COMMIT ?? null, assets };
await writeFile(join(to, 'build-info.json'), `${JSON.stringify(info, null, 2)}\n`);
console.log(`dist: index.html and ${names.length} hashed files`);
