import { readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { basicEnvironment } from '../../builds/command.ts';
import { commandLine } from '../../domain/command.ts';
import { parseDuration } from '../../domain/duration.ts';
import { isUnshipError } from '../../domain/errors.ts';
import type { ReleaseId } from '../../domain/release.ts';
import {
  askGateway,
  commandGateway,
  ensureGateway,
  type GatewayLocation,
  type GatewayStatus,
  type StartResult,
  wasLeftRunning,
} from '../../gateway/client.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { LookContext, WorkContext } from '../../surfaces/surface.port.ts';
import type { Retirement, WebTarget } from '../../surfaces/web/web.port.ts';
import { type Layout, stagedName, surfaceFolder } from './layout.ts';
import type { ServerOptions } from './options.ts';
import type { SwitchState } from './switch.ts';

export interface ProcessParts {
  readonly options: ServerOptions;
  readonly environment: ProviderEnvironment;
  readonly layout: Layout;
  readonly location: GatewayLocation;
}

export function drainMsOf(options: ServerOptions): number {
  return parseDuration(options.drain ?? '10s') ?? 10_000;
}

/** The gateway's status; null when it does not answer. Never starts it. */
export async function gatewayStatus(
  { location }: ProcessParts,
  context: LookContext,
): Promise<GatewayStatus | null> {
  try {
    return await askGateway(
      location.folder,
      { command: 'status' },
      { signal: context.signal, timeoutMs: 3_000 },
    );
  } catch (error) {
    if (isUnshipError(error) && error.slug === 'gateway-unreachable') return null;
    throw error;
  }
}

/**
 * Starts the gateway again where it was killed, or the machine was: it finds its processes, or starts them as its
 * memory has them. One that was told to end stays down. True when it was started.
 */
export async function keepGatewayUp(parts: ProcessParts, context: LookContext): Promise<boolean> {
  if ((await gatewayStatus(parts, context)) !== null) return false;
  const { location } = parts;
  if (!(await wasLeftRunning(location.folder))) return false;
  await ensureGateway(location, context.signal);
  return true;
}

/** One connection; a process that runs already is only looked at. */
export function startProcess(
  parts: ProcessParts,
  context: WorkContext,
  target: WebTarget,
): Promise<StartResult> {
  const { options, environment, layout, location } = parts;
  const startWithinMs = parseDuration(options.startWithin ?? '30s') ?? 30_000;
  const { previous } = options;
  return commandGateway(
    location,
    {
      command: 'start',
      fence: context.fence,
      listen: location.listen ?? null,
      ...(typeof previous === 'object' ? { wake: previous.wake } : {}),
      spec: {
        release: target.release,
        commit: target.commit,
        command: commandLine(options.start ?? ['npm', 'start']),
        folder: surfaceFolder(layout, stagedName(target), options),
        environment: {
          ...basicEnvironment(),
          NODE_ENV: 'production',
          ...options.environment,
          ...environment.processEnvironment,
          UNSHIP_RELEASE: target.release,
          UNSHIP_COMMIT: target.commit,
        },
        health: options.health ?? '/',
        startWithinMs,
        drainMs: drainMsOf(options),
      },
    },
    { signal: context.signal, timeoutMs: startWithinMs * 2 + 15_000 },
  );
}

/** As the configuration says for a release that no longer serves; `stop` always stops it. */
export async function retireProcess(
  { options, location }: ProcessParts,
  context: WorkContext,
  release: ReleaseId,
  how: Retirement,
): Promise<void> {
  const { previous = 'keep' } = options;
  const { fence, signal } = context;
  if (how === 'stop' || previous === 'stop') {
    // A gateway that could not even begin to listen has started nothing, and there is nothing to stop.
    if (!(await everStarted(location, release, signal))) return;
    const drainMs = drainMsOf(options);
    await commandGateway(
      location,
      { command: 'stop', fence, release, drainMs },
      { signal, timeoutMs: drainMs * 2 + 10_000 },
    );
  } else if (typeof previous === 'object') {
    await commandGateway(
      location,
      { command: 'standby', fence, release, signal: previous.standby },
      { signal },
    );
  }
}

async function everStarted(
  location: GatewayLocation,
  release: ReleaseId,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const { releases } = await askGateway(location.folder, { command: 'status' }, { signal });
    return releases[release] !== undefined;
  } catch {
    // It does not answer: its own record tells whether there may be a process left behind.
    const record = await readFile(join(location.folder, 'state.json'), 'utf8').catch(() => '');
    return record.includes(`"${release}"`);
  }
}

export function stateOf(layout: Layout, status: GatewayStatus | null): SwitchState {
  const warm = new Set<ReleaseId>();
  const inUse = new Set<string>();
  for (const [release, { phase, folder }] of Object.entries(status?.releases ?? {})) {
    if (phase === 'running' || phase === 'standby') warm.add(release as ReleaseId);
    const name = relative(layout.releases, folder).split(sep)[0];
    if (name !== undefined && name !== '' && name !== '..') inUse.add(name);
  }
  return { live: status?.live ?? null, warm, inUse, holding: status?.held ?? false };
}
