import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

const types = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const hashed = /\.[0-9a-f]{12}\.[a-z]+$/;

/**
 * The page's files, read once: what a request names is looked up here and never becomes a path.
 *
 * @param {string} folder
 * @returns {Map<string, { content: Buffer, headers: Record<string, string> }>} by path: `/`, `/style.css`
 */
export function loadAssets(folder) {
  const assets = new Map();
  for (const name of readdirSync(folder)) {
    const type = types[extname(name)];
    if (type === undefined) continue;
    assets.set(name === 'index.html' ? '/' : `/${name}`, {
      content: readFileSync(join(folder, name)),
      headers: {
        'content-type': type,
        // A name with a hash never changes its content; the page itself must be asked for again.
        'cache-control': hashed.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
      },
    });
  }
  return assets;
}
