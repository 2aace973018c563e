import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Json } from '../../../src/domain/json.ts';
import { disposeGateway } from '../../../src/providers/server/gateway-switch.ts';
import { createServer } from '../../../src/providers/server/index.ts';
import type { ActionHandler } from '../../../src/surfaces/surface.port.ts';
import { webSurface } from '../../../src/surfaces/web/actions.ts';
import type { WebPort, WebTarget } from '../../../src/surfaces/web/web.port.ts';
import { slugged } from '../../../src/testing/desktop-contract.ts';
import { ask, freePort } from '../../gateway/support.ts';
import { World, work } from './scenario.ts';

interface Given {
  readonly port: WebPort;
  /** `r1`, which is live, and `r2`, which is staged. */
  readonly first: WebTarget;
  readonly second: WebTarget;
  action(id: string): ActionHandler;
  /** Which release answers. */
  served(): Promise<string>;
}

async function given(context: TestContext): Promise<Given> {
  const world = new World(['one', 'two']);
  const gateway = { port: await freePort() };
  const options = { install: false, build: ['node', 'build.mjs'], start: ['node', 'server.mjs'] } as const;
  const port = createServer(
    { ...options, health: '/health', startWithin: '3s', drain: '1s', switch: { gateway } },
    world.environment(),
  );
  context.after(async () => {
    await disposeGateway(join(world.state, 'gateway'));
    world.remove();
  });
  const staged = async (target: WebTarget): Promise<WebTarget> => ({
    ...target,
    artifact: await port.stage(work(1), target),
  });
  const first = await staged(world.target('r1', 'one'));
  await port.start(work(1), first);
  await port.switchTo(work(1), first);
  const { actions } = webSurface('web', port);
  return {
    port,
    first,
    second: await staged(world.target('r2', 'two')),
    action: (id) => {
      const found = actions[id];
      assert.ok(found, id);
      return found;
    },
    served: async () => (await ask(gateway.port, '/')).body,
  };
}

function asInput({ release, commit, artifact }: WebTarget): { readonly [key: string]: Json } {
  return { release, commit, artifact };
}

describe('actions of a web host look anew, and never take what was done for what is', {
  concurrency: 2,
}, () => {
  it('a build that is not there is not staged', async (context) => {
    const { port, second, action } = await given(context);
    const verify = () => action('web.stage').verify(work(1), asInput(second), second.artifact);
    assert.deepEqual(await verify(), { observed: 'built r2' });
    await port.unstage(work(1), second);
    await assert.rejects(verify(), slugged('target-gone'));
  });

  it('what still runs was not stopped', async (context) => {
    const { port, second, action } = await given(context);
    const verify = (how: string) =>
      action('web.retire').verify(work(1), { target: asInput(second), how }, null);
    await port.start(work(1), second);
    assert.deepEqual(await verify('keep-warm'), { observed: 'kept warm' });
    await assert.rejects(verify('stop'), slugged('still-running'));
    await port.retire(work(1), second, 'stop');
    assert.deepEqual(await verify('stop'), { observed: 'stopped' });
  });

  it('a hold that was lost holds nothing', async (context) => {
    const { port, action } = await given(context);
    const verify = () => action('web.hold').verify(work(1), {}, null);
    await action('web.hold').apply(work(1), {});
    assert.deepEqual(await verify(), { observed: 'requests wait' });
    await port.resume(work(1));
    await assert.rejects(verify(), slugged('hold-lost'));
  });

  it('what a dead run has held back goes on, and is not called so before it does', async (context) => {
    const { port, action, served } = await given(context);
    const verify = () => action('web.resume').verify(work(1), null, null);
    await port.hold(work(1));
    await assert.rejects(verify(), slugged('still-held'));
    const visitor = served();
    await action('web.resume').apply(work(1), null);
    assert.deepEqual(await verify(), { observed: 'no request is held back' });
    assert.equal(await visitor, 'r1');
  });

  it('what was switched while requests waited goes back behind the hold, and lets nobody through before', async (context) => {
    const { port, first, second, action, served } = await given(context);
    await port.start(work(1), second);
    await port.hold(work(1));
    await port.switchTo(work(1), second);
    assert.equal(await served(), 'r2');
    const [target, previous] = [asInput(second), asInput(first)];
    // When the switch, the start and the hold are undone, in that order
    await action('web.switch').undo?.(work(1), { target, previous, held: true }, null);
    assert.equal(await port.isHolding(work(1)), true);
    const visitor = served();
    await action('web.start').undo?.(work(1), { ...target, held: true }, null);
    assert.deepEqual(await port.inspect(work(1), second), { staged: true, running: true });
    await action('web.hold').undo?.(work(1), { target, previous }, null);
    // Then who came meanwhile is served by what served before, and the other one has ended
    assert.equal(await visitor, 'r1');
    assert.deepEqual(await port.inspect(work(1), second), { staged: true, running: false });
  });
});
