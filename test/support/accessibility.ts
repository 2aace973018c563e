import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';

/** Fails unless every visible text has WCAG's contrast of 4.5 : 1 with what is behind it. */
export async function assertContrast(page: Page): Promise<void> {
  const { checked, low } = await page.evaluate<{ checked: number; low: string[] }>('probes.lowContrast(4.5)');
  assert.ok(checked > 0, 'there was no text to look at');
  assert.deepEqual(low, []);
}

/** Fails unless every control has a name that a screen reader can say. */
export async function assertNamed(page: Page): Promise<void> {
  assert.deepEqual(await page.evaluate('probes.nameless()'), []);
}

/** Fails when the page must be scrolled sideways. */
export async function assertFits(page: Page): Promise<void> {
  assert.equal(await page.evaluate('probes.overflow()'), 0, 'pixels wider than the window');
}

/** What has the focus; `visible` tells whether one can see that it has it. */
export function focused(page: Page): Promise<{ name: string; visible: boolean }> {
  return page.evaluate('probes.focused()');
}
