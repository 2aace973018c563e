import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Path of the installed browser: `CHROMIUM` or Debian's. Throws with what to install when there is none. */
export function findChromium(): string {
  const named = process.env.CHROMIUM;
  const found = (named === undefined ? places : [named]).find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(
      `No Chromium at ${named ?? places.join(', ')}. Install it (Debian: apt-get install chromium) or name it in CHROMIUM.`,
    );
  }
  return found;
}

/**
 * Runs `use` with a page in a real headless Chromium that has a profile of its own, and ends that browser
 * whatever happens. What the page logs as an error, and what it throws, fails the test, unless `use` tells by
 * returning a pattern that it was to be expected.
 */
export async function withPage(
  use: (page: Page) => Promise<RegExp | undefined>,
  options: BrowserContextOptions = {},
): Promise<void> {
  const profile = await mkdtemp(join(tmpdir(), 'unship-chromium-'));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: findChromium(),
      headless: true,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
      ...options,
    });
    try {
      const page = context.pages()[0] ?? (await context.newPage());
      page.setDefaultTimeout(10_000);
      await page.addInitScript({ path: join(import.meta.dirname, 'page-probes.js') });
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(message.text());
      });
      const expected = await use(page);
      const surprising = problems.filter((problem) => expected?.test(problem) !== true);
      if (surprising.length > 0) throw new Error(`The page reported: ${surprising.join('; ')}`);
    } finally {
      await context.close();
    }
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
