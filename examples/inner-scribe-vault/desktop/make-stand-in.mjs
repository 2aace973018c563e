import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// Writes what `npm run build` would: one artifact a platform and electron-builder's three feed files. The
// artifacts are stand-ins and say so in their first line: no Electron is needed for trying a release and its
// way back. Names, sizes and hashes are real, and electron-updater reads and checks them.

const [version, folder] = process.argv.slice(2);
if (!/^\d+\.\d+\.\d+(-[0-9a-z.]+)?$/.test(version ?? '') || folder === undefined) {
  console.error('usage: node make-stand-in.mjs VERSION FOLDER');
  process.exit(2);
}

const platforms = [
  { name: 'Linux', extension: 'AppImage', feed: 'latest-linux.yml' },
  { name: 'Windows', extension: 'exe', feed: 'latest.yml' },
  { name: 'macOS', extension: 'zip', feed: 'latest-mac.yml' },
];
const paddingBytes = 64 * 1024;

/** The same bytes for the same version and platform, so that making them again changes nothing. */
function standIn(platform) {
  const title = `Stand-in for Inner Scribe Vault ${version} (${platform.name}): not a program.\n`;
  const blocks = [Buffer.from(title)];
  for (let block = createHash('sha512').update(title).digest(); blocks.length <= paddingBytes / 64; ) {
    blocks.push(block);
    block = createHash('sha512').update(block).digest();
  }
  return Buffer.concat(blocks);
}

await mkdir(folder, { recursive: true });
for (const platform of platforms) {
  const name = `InnerScribeVault-${version}.${platform.extension}`;
  const content = standIn(platform);
  const sha512 = createHash('sha512').update(content).digest('base64');
  await writeFile(join(folder, name), content);
  const feed = [
    `version: ${version}`,
    'files:',
    `  - url: ${name}`,
    `    sha512: ${sha512}`,
    `    size: ${content.length}`,
    `path: ${name}`,
    `sha512: ${sha512}`,
    `releaseDate: '${new Date().toISOString()}'`,
    '',
  ];
  await writeFile(join(folder, platform.feed), feed.join('\n'));
  console.log(`${join(folder, name)}: ${content.length} bytes`);
}
