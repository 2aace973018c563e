import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import { member, readJson, writeJson } from './files.ts';
import type { Layout } from './layout.ts';

/** For switches without a gateway: remembers the highest fence. Throws `fenced-out` on a lower one. */
export async function passFence(layout: Layout, fence: number): Promise<void> {
  const path = join(layout.folder, 'fence.json');
  const found = member(await readJson(path), 'fence');
  const seen = typeof found === 'number' ? found : 0;
  if (fence < seen) {
    throw new UnshipError('fenced-out', {
      happened: `this surface has seen fence ${seen}, and this run has ${fence}`,
      done: 'nothing was changed',
    });
  }
  if (fence > seen) await writeJson(path, { fence });
}
