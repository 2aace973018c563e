import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { Stage } from '../../scripts/demo/stage.ts';
import { withPage } from '../support/chromium.ts';
import { buildProgram, type Program } from '../support/program.ts';

let program: Program;
let stage: Stage;

before(async () => {
  program = await buildProgram();
  stage = await Stage.make(
    { bake: 5, look: 0.05 },
    {
      file: program.file,
      node: process.execPath,
    },
  );
});

after(async () => {
  await stage?.end();
  await program?.[Symbol.asyncDispose]();
});

async function unship(exit: number, ...args: readonly string[]): Promise<string> {
  const ended = await stage.unship(args);
  assert.equal(ended.exitCode, exit, `unship ${args.join(' ')}:\n${ended.stdout}\n${ended.stderr}`);
  return ended.stdout;
}

async function keep(page: Page, body: string, mood: string): Promise<void> {
  await page.getByLabel('Your entry').fill(body);
  await page.getByRole('radio', { name: mood }).check();
  await page.getByRole('button', { name: 'Keep entry' }).click();
  await page
    .getByRole('article')
    .filter({ hasText: body.split('\n')[0] ?? '' })
    .waitFor();
}

interface Read {
  readonly text: string;
  readonly mood: string;
}

/** What people read in their journal, the newest first. */
async function journal(page: Page): Promise<readonly Read[]> {
  const articles = page.getByRole('article');
  await articles.first().waitFor();
  return await articles.evaluateAll((found) =>
    found.map((article) => ({
      text: article.querySelector('.text')?.textContent ?? '',
      mood: article.querySelector('.mood')?.textContent ?? '',
    })),
  );
}

test('someone who writes a journal keeps every word through a bad release and its rollback', async () => {
  const good = (await stage.git('rev-parse', 'HEAD')).trim();
  await stage.desktopArtifacts('1.0.0', 'desktop/dist/1.0.0');
  await unship(0, 'release', '--yes');
  await withPage(async (page) => {
    await page.goto(stage.url);
    await page.getByText('Release r1 · schema 0002').waitFor();
    await keep(page, 'Snow in APRIL.\nThe blossoms do not mind.', 'grateful');

    await stage.apply('bad');
    await stage.desktopArtifacts('1.1.0', 'desktop/dist/1.1.0');
    await stage.desktopArtifacts('1.1.1', `desktop/standby/${good}`);
    await stage.commit('Moods of their own');
    assert.match(await unship(1, 'release', '--yes'), /r2 still serves/);
    await page.reload();
    await page.getByText('Release r2 · schema 0003').waitFor();
    // What was written is rewritten, and search is broken; people go on writing.
    assert.deepEqual(await journal(page), [
      { text: 'snow in april. the blossoms do not mind.', mood: 'grateful' },
    ]);
    await page.getByLabel('Search your journal').fill('blossoms');
    await page.getByRole('alert').getByText('Something went wrong on our side.').waitFor();
    await page.getByLabel('Search your journal').fill('');
    await keep(page, 'Thunder over the Lake', 'sad');

    await unship(0, 'rollback', '--yes');
    // The page that was open all the time works again as it is, and so does a new one.
    await page.getByLabel('Search your journal').fill('BLOSSOMS');
    await page.getByText('1 entry with “BLOSSOMS”.').waitFor();
    await page.getByLabel('Search your journal').fill('');
    await keep(page, 'Quiet again.', 'calm');
    await page.reload();
    await page.getByText('Release r1 · schema 0002').waitFor();
    assert.deepEqual(await journal(page), [
      { text: 'Quiet again.', mood: 'calm' },
      { text: 'Thunder over the Lake', mood: 'sad' },
      { text: 'Snow in APRIL.\nThe blossoms do not mind.', mood: 'grateful' },
    ]);
    return /status of 500/;
  });
});
