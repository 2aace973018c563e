import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertContrast, assertFits, assertNamed, focused } from '../support/accessibility.ts';
import { withPage } from '../support/chromium.ts';
import { checkout, dbmate, list, type RunningVault, start, useUpSearch, writeSamples } from './vault.ts';

describe("the example journal's page, in Chromium", () => {
  let tree: Awaited<ReturnType<typeof checkout>>;
  let database: string;
  let vault: RunningVault;

  before(async () => {
    tree = await checkout('good');
    database = join(tree.folder, 'vault.db');
    await dbmate(tree.folder, database, 'up');
    vault = await start(tree.folder, database, { UNSHIP_RELEASE: 'r1' });
  });
  after(async () => {
    await vault[Symbol.asyncDispose]();
    await tree[Symbol.asyncDispose]();
  });

  test('an entry is written by keyboard alone, listed, found by search', async () => {
    await withPage(async (page) => {
      await page.goto(vault.url);
      await page.getByText('Your first entry will stand here.').waitFor();
      await page.getByText('Release r1 · schema 0002').waitFor();
      await page.getByRole('radio', { name: 'joyful' }).waitFor();

      const order: string[] = [];
      for (let i = 0; i < 4; i++) {
        await page.keyboard.press('Tab');
        const { name, visible } = await focused(page);
        order.push(name);
        assert.ok(visible, `no visible focus on "${name}"`);
        if (name === 'Your entry') await page.keyboard.type('Snow in April.\nThe blossoms do not mind.');
      }
      assert.deepEqual(order, ['Skip to your entries', 'Search your journal', 'Your entry', 'joyful']);
      await page.keyboard.press('ArrowRight');
      await page.keyboard.press('Control+Enter');

      const entry = page.getByRole('article').filter({ hasText: 'Snow in April.' });
      await entry.waitFor();
      assert.match(
        (await entry.textContent()) ?? '',
        /grateful\s+Snow in April\.\nThe blossoms do not mind\.\s*$/,
      );
      assert.equal(await page.getByLabel('Your entry').inputValue(), '');
      assert.deepEqual(
        (await list(vault.url)).map(({ body, mood }) => ({ body, mood })),
        [{ body: 'Snow in April.\nThe blossoms do not mind.', mood: 'grateful' }],
      );

      await page.getByRole('heading', { name: 'Your journal' }).click();
      await page.keyboard.press('/');
      assert.equal((await focused(page)).name, 'Search your journal');
      await page.keyboard.type('BLOSSOMS');
      await page.getByText('1 entry with “BLOSSOMS”.').waitFor();
      assert.equal(await page.locator('mark').textContent(), 'blossoms');
      await page.keyboard.press('Control+A');
      await page.keyboard.type('thunder');
      await page.getByText('No entries with “thunder”.').waitFor();
      assert.equal(await page.getByRole('article').count(), 0);
      return undefined;
    });
  });

  test('a draft survives a reload, and markup in an entry stays text', async () => {
    await withPage(async (page) => {
      await page.goto(vault.url);
      await page.getByLabel('Your entry').fill('<img src=x onerror=alert(1)> & <b>bold</b>');
      await page.reload();
      assert.match(await page.getByLabel('Your entry').inputValue(), /^<img/);
      await page.getByRole('button', { name: 'Keep entry' }).click();
      await page.getByRole('article').filter({ hasText: '<b>bold</b>' }).waitFor();
      assert.equal(await page.locator('article img, article b').count(), 0);
      return undefined;
    });
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`every control has a name and every text contrast enough, ${colorScheme}`, async () => {
      await writeSamples(vault.url);
      await withPage(
        async (page) => {
          await page.goto(vault.url);
          await page.getByText('First page.').first().waitFor();
          await page.getByRole('radio', { name: 'calm' }).check();
          await page.getByRole('button', { name: /^sad, \d+ entr/ }).click();
          await page.getByLabel('Search your journal').fill('Bruno');
          await page.locator('mark').first().waitFor();
          await assertContrast(page);
          await assertNamed(page);
          await assertFits(page);
          return undefined;
        },
        { colorScheme, viewport: { width: 320, height: 640 } },
      );
    });
  }

  test('on the bad version search fails with a message that can be read, and writing goes on', async () => {
    await using bad = await checkout('bad');
    const other = join(bad.folder, 'vault.db');
    await dbmate(bad.folder, other, 'up');
    await using broken = await start(bad.folder, other);
    await writeSamples(broken.url);
    await useUpSearch(broken.url);
    await withPage(
      async (page) => {
        await page.goto(broken.url);
        await page.getByText('First page.').waitFor();
        await page.getByLabel('Search your journal').fill('heron');
        await page.getByRole('alert').getByText('Something went wrong on our side.').waitFor();
        await assertContrast(page);
        return /status of 500/;
      },
      { colorScheme: 'dark' },
    );
  });
});
