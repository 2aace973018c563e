import { mkdir, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openBuilds } from '../../builds/build.ts';
import { UnshipError } from '../../domain/errors.ts';
import type { WebFacts, WebReadiness } from '../../domain/facts.ts';
import { isCommit } from '../../domain/names.ts';
import { type Release, type ReleaseId, releaseNumber } from '../../domain/release.ts';
import { askGateway, ensureGateway, type GatewayLocation, type Listen } from '../../gateway/client.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { LookContext, WorkContext } from '../../surfaces/surface.port.ts';
import type { RehearsalWeb, WebPort, WebTarget } from '../../surfaces/web/web.port.ts';
import { createCommandSwitch } from './command-switch.ts';
import { createGatewaySwitch } from './gateway-switch.ts';
import { coverSecrets } from './kept-logs.ts';
import { insideRepository, type Layout, layoutOf, releaseOf, stagedName } from './layout.ts';
import { measure, measurements } from './measurements.ts';
import type { ServerOptions } from './options.ts';
import type { ProcessParts } from './processes.ts';
import { finishRemoving, freeBytesOf, isStaged, removeStaged, type Staging, stage } from './stage.ts';
import type { SwitchState, TrafficSwitch } from './switch.ts';
import { createSymlinkSwitch } from './symlink-switch.ts';

/** What tests and the published bundle set otherwise than by default. */
export interface ServerInternals {
  /** Program file of the gateway. */
  readonly gatewayEntry?: string;
  readonly freeBytes?: (folder: string) => Promise<number>;
}

interface Parts {
  readonly options: ServerOptions;
  readonly environment: ProviderEnvironment;
  readonly layout: Layout;
  readonly traffic: TrafficSwitch;
  readonly internals: ServerInternals;
  /** Names of staged folders that a rehearsal made; null outside of one, where all are ours. */
  readonly rehearsed: Set<string> | null;
}

/** A web surface on one's own server. See `docs/providers/server.md` for what it needs. */
export function createServer(
  options: ServerOptions,
  environment: ProviderEnvironment,
  internals: ServerInternals = {},
): WebPort {
  insideRepository(options.root ?? '.');
  const how = options.switch;
  const link = 'symlink' in how ? resolve(environment.root, how.symlink) : null;
  const layout = layoutOf(options, environment, link);
  const listen: Listen | null =
    'gateway' in how
      ? {
          host: how.gateway.host ?? '127.0.0.1',
          port: how.gateway.port,
          trustProxy: how.gateway.trustProxy ?? false,
        }
      : null;
  const parts: ProcessParts = {
    options,
    environment,
    layout,
    location: locationOf(layout, listen, internals),
  };
  const url = 'url' in how && how.url !== undefined ? how.url.replace(/\/$/, '') : null;
  const traffic =
    'symlink' in how
      ? createSymlinkSwitch({ options, layout, link: link as string, folder: how.folder, url })
      : 'commands' in how
        ? createCommandSwitch(parts, how.commands, url)
        : createGatewaySwitch(parts, (listen as Listen).host, (listen as Listen).port);
  return createPort({ options, environment, layout, traffic, internals, rehearsed: null });
}

function createPort(parts: Parts): WebPort {
  const { options, environment, layout, traffic, internals } = parts;
  const point = (context: WorkContext, name: string): void =>
    context.runtime.faults.point(`${environment.surface}.${name}`);
  const staging: Staging = { options, environment, layout, freeBytes: internals.freeBytes ?? freeBytesOf };
  return {
    address: traffic.address,
    observe: (context, releases) => observe(parts, context, releases),
    raiseFence: (context) => traffic.raiseFence(context),
    stage: async (context, target) => {
      const name = stagedName(target);
      const before = await isStaged(layout, name);
      const artifact = await stage(staging, context, target);
      if (!before) parts.rehearsed?.add(name);
      return artifact;
    },
    unstage: (context, target) => unstage(parts, context, target),
    start: async (context, target) => {
      point(context, 'start.before');
      const { startMs, cold } = await startStaged(parts, context, target);
      if (cold) await measure(layout, { startMs });
      point(context, 'start.after');
      return { startMs };
    },
    switchTo: async (context, target) => {
      point(context, 'switch.before');
      await traffic.switchTo(context, target);
      point(context, 'switch.after');
    },
    verifyLive: (context, target) => traffic.verifyLive(context, target),
    inspect: async (context, target) => {
      const [state, staged] = await Promise.all([
        traffic.look(context),
        isStaged(layout, stagedName(target)),
      ]);
      return { staged, running: state.warm.has(target.release) };
    },
    isHolding: async (context) => (await traffic.look(context)).holding,
    hold: async (context) => {
      point(context, 'hold.before');
      await traffic.hold(context);
      point(context, 'hold.after');
    },
    resume: async (context) => {
      point(context, 'resume.before');
      await traffic.resume(context);
      point(context, 'resume.after');
    },
    retire: async (context, target, how) => {
      point(context, 'retire.before');
      await traffic.retire(context, target, how);
      point(context, 'retire.after');
    },
    prune: (context, protect) => prune(parts, context, protect),
    keepUp: (context) => traffic.keepUp(context),
    shutDown: () => traffic.dispose(),
    coverLogs: async () => {
      if (environment.secretsIn !== undefined) await coverSecrets(layout.gateway, environment.secretsIn);
    },
    openBuilds: async () => openBuilds(options.protectedBranches),
    rehearsal: (folder, variables) => rehearse(parts, folder, variables),
  };
}

async function startStaged(
  { layout, traffic }: Parts,
  context: WorkContext,
  target: WebTarget,
): Promise<{ readonly startMs: number; readonly cold: boolean }> {
  const name = stagedName(target);
  if (!(await isStaged(layout, name))) {
    throw new UnshipError('target-gone', {
      happened: `${target.release} is not on disk: ${join(layout.releases, name)} is missing`,
      done: 'traffic was not touched',
    });
  }
  return traffic.start(context, target);
}

async function observe(parts: Parts, context: LookContext, releases: readonly Release[]): Promise<WebFacts> {
  const { layout, traffic, environment, internals } = parts;
  const [state, names, measured, freeDiskBytes] = await Promise.all([
    traffic.look(context),
    readdir(layout.releases).catch((): string[] => []),
    measurements(layout),
    (internals.freeBytes ?? freeBytesOf)(environment.folder).catch(() => 0),
  ]);
  const staged = new Set(names);
  const found = await Promise.all(
    releases.map(async (release) => {
      // A carried-over surface is served by the release that changed it last.
      const { since } = release.surfaces[environment.surface] ?? { since: release.id };
      return [since, await readinessOf(parts, state, staged, release, since)] as const;
    }),
  );
  return {
    kind: 'web',
    live: state.live,
    canHold: traffic.canHold,
    releases: Object.fromEntries(found),
    measurements: { ...measured, freeDiskBytes },
  };
}

async function readinessOf(
  { environment, layout }: Parts,
  { warm }: SwitchState,
  staged: ReadonlySet<string>,
  release: Release,
  since: ReleaseId,
): Promise<{ readiness: WebReadiness; reason?: string }> {
  if (warm.has(since)) return { readiness: 'warm' };
  const surface = release.surfaces[environment.surface];
  if (surface === undefined)
    return { readiness: 'gone', reason: `${release.id} has no ${environment.surface}` };
  const { commit, artifact } = surface;
  if (!isCommit(commit))
    return { readiness: 'gone', reason: 'it was live before unship was: its commit is not known' };
  const name = stagedName({ release: since, commit, artifact });
  if (staged.has(name) && (await isStaged(layout, name))) return { readiness: 'on-disk' };
  const there = await environment.source.has(commit).catch(() => false);
  return there
    ? { readiness: 'rebuildable' }
    : {
        readiness: 'gone',
        reason: `its build is not on disk and commit ${commit.slice(0, 7)} is not in the repository`,
      };
}

async function unstage(
  { layout, traffic, environment, rehearsed }: Parts,
  context: WorkContext,
  target: WebTarget,
): Promise<void> {
  const name = stagedName(target);
  // What lay there before a rehearsal may be what serves.
  if (rehearsed !== null && !rehearsed.has(name)) return;
  const state = await traffic.look(context);
  if (state.live === target.release) return;
  if (state.inUse.has(name)) {
    if (!state.warm.has(target.release)) return;
    await traffic.retire(context, target, 'stop');
  }
  context.runtime.faults.point(`${environment.surface}.unstage.before`);
  await removeStaged(layout, name);
  context.runtime.faults.point(`${environment.surface}.unstage.after`);
}

async function prune(
  parts: Parts,
  context: WorkContext,
  protect: readonly ReleaseId[],
): Promise<readonly ReleaseId[]> {
  const { options, layout, traffic, environment, rehearsed } = parts;
  if (rehearsed !== null) return [];
  await finishRemoving(layout);
  const { live, warm } = await traffic.look(context);
  const names = await readdir(layout.releases).catch((): string[] => []);
  const staged = names
    .map((name) => ({ name, release: releaseOf(name) }))
    .filter((entry): entry is { name: string; release: ReleaseId } => entry.release !== null)
    .sort((a, b) => releaseNumber(b.release) - releaseNumber(a.release));
  const kept = new Set([...protect, ...(live === null ? [] : [live])]);
  // One release before the live one stays warm; those before it would only pile up.
  for (const release of warm) {
    if (!kept.has(release)) await traffic.retire(context, { release, commit: '', artifact: null }, 'stop');
  }
  const { inUse } = await traffic.look(context);
  const removed: ReleaseId[] = [];
  for (const { name, release } of staged.slice(options.keepOnDisk ?? 5)) {
    if (kept.has(release) || inUse.has(name)) continue;
    context.runtime.faults.point(`${environment.surface}.prune.before`);
    await removeStaged(layout, name);
    removed.push(release);
  }
  return removed;
}

/**
 * The same staged releases behind a gateway (or a link) of the rehearsal's own. Own commands are never run: they
 * would move live traffic. Everything ends with this process, however that ends.
 */
async function rehearse(
  { options, environment, layout, internals }: Parts,
  folder: string,
  variables: { readonly [name: string]: string },
): Promise<RehearsalWeb> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const copy: ProviderEnvironment = {
    ...environment,
    folder,
    processEnvironment: { ...environment.processEnvironment, ...variables },
  };
  const copyLayout: Layout = { ...layoutOf(options, copy, null, layout.releases), home: layout.home };
  const how = options.switch;
  const isStatic = 'symlink' in how || ('commands' in how && options.start === undefined);
  const traffic = isStatic
    ? createSymlinkSwitch({
        options,
        layout: copyLayout,
        link: join(folder, 'current'),
        folder: 'symlink' in how ? how.folder : undefined,
        url: null,
      })
    : await rehearsalGateway({ options, environment: copy, layout: copyLayout, internals });
  const parts: Parts = {
    options,
    environment: copy,
    layout: copyLayout,
    traffic,
    internals,
    rehearsed: new Set(),
  };
  return { port: createPort(parts), dispose: () => traffic.dispose() };
}

async function rehearsalGateway({
  options,
  environment,
  layout,
  internals,
}: Pick<Parts, 'options' | 'environment' | 'layout' | 'internals'>): Promise<TrafficSwitch> {
  const anyPort: Listen = { host: '127.0.0.1', port: 0, trustProxy: false };
  const location: GatewayLocation = { ...locationOf(layout, anyPort, internals), ownerPid: process.pid };
  await ensureGateway(location);
  const { listen } = await askGateway(location.folder, { command: 'status' });
  if (listen === null) throw new UnshipError('gateway-unreachable', { happened: 'it listens nowhere' });
  return createGatewaySwitch({ options, environment, layout, location }, listen.host, listen.port);
}

function locationOf(
  layout: Layout,
  listen: Listen | null,
  { gatewayEntry }: ServerInternals,
): GatewayLocation {
  return { folder: layout.gateway, listen, ...(gatewayEntry === undefined ? {} : { entry: gatewayEntry }) };
}
