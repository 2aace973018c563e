import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnshipError } from '../../src/domain/errors.ts';
import { desktopSurface } from '../../src/surfaces/desktop/actions.ts';
import type { DesktopPort } from '../../src/surfaces/desktop/desktop.port.ts';
import type { WorkContext } from '../../src/surfaces/surface.port.ts';

type Status = 'published' | 'halted' | 'pulled';

/** A feed that answers every order with a yes, and does only the ones that `obeys`. */
function feed(
  state: { offered: string | null; versions: { [version: string]: Status } },
  obeys: boolean,
): DesktopPort {
  const order = async (work: () => void): Promise<void> => {
    if (obeys) work();
  };
  return {
    observe: async () => ({
      offered: state.offered,
      versions: Object.fromEntries(
        Object.entries(state.versions).map(([version, status]) => [version, { status, commit: '' }]),
      ),
    }),
    verifyOffered: async (_context: unknown, version: string | null) => {
      if (state.offered !== version) throw new UnshipError('feed-mismatch', { happened: `${state.offered}` });
      return { observed: '' };
    },
    unhalt: (_context: unknown, version: string) =>
      order(() => {
        if (state.versions[version] === 'halted') state.versions[version] = 'published';
      }),
    unpull: (_context: unknown, version: string) =>
      order(() => {
        if (state.versions[version] === undefined) return;
        state.versions[version] = 'published';
        state.offered = version;
      }),
    pull: (_context: unknown, version: string, to: string | null) =>
      order(() => {
        state.versions[version] = 'pulled';
        state.offered = to;
      }),
  } as unknown as DesktopPort;
}

const cases = [
  {
    action: 'desktop.halt',
    input: { version: '1.1.0' },
    found: { offered: '1.0.0', versions: { '1.0.0': 'published', '1.1.0': 'halted' } },
  },
  {
    action: 'desktop.pull',
    input: { version: '1.1.0', to: '1.0.0' },
    found: { offered: '1.0.0', versions: { '1.0.0': 'published', '1.1.0': 'pulled' } },
  },
  {
    action: 'desktop.unpull',
    input: { version: '1.1.0', offered: '1.0.0' },
    found: { offered: '1.1.0', versions: { '1.0.0': 'published', '1.1.0': 'published' } },
  },
] as const;

const context = {} as WorkContext;

for (const { action, input, found } of cases) {
  const undo = async (obeys: boolean): Promise<void> => {
    const state = { offered: found.offered, versions: { ...found.versions } };
    await desktopSurface('desktop', feed(state, obeys)).actions[action]?.undo?.(context, input, null);
  };

  test(`taking ${action} back is believed when clients meet it, not when the feed says so`, async () => {
    await undo(true);
    await assert.rejects(undo(false), { slug: 'feed-mismatch' });
  });
}

test('a version that the feed has never known was not pulled, and needs no taking back', async () => {
  const state = { offered: '1.0.0', versions: { '1.0.0': 'published' as const } };
  const { actions } = desktopSurface('desktop', feed(state, true));
  await actions['desktop.pull']?.undo?.(context, { version: '1.1.0', to: '1.0.0' }, undefined);
  assert.equal(state.offered, '1.0.0');
});
