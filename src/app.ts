import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RunningApplication } from './app/application.ts';
import { createDraftFolder } from './app/draft-folder.ts';
import type { Parts, Ports } from './app/parts.ts';
import { openState } from './app/state.ts';
import { isOwnerAlive, runtimeWithFaults, thisOwner } from './app/system-runtime.ts';
import { revealSecret } from './config/secrets.ts';
import type { OpenApplication, OpenRequest } from './domain/application.ts';
import type { ChannelDefinition, SurfaceDefinition } from './domain/definition.ts';
import { UnshipError } from './domain/errors.ts';
import type { Policy } from './domain/planner/request.ts';
import type { Runtime } from './domain/runtime.ts';
import type { Check } from './guard/check.port.ts';
import { watchPolicy } from './guard/guard.ts';
import type { Channel } from './incident/communication.port.ts';
import { createSource } from './providers/git/index.ts';
import { databaseSurface } from './surfaces/database/actions.ts';
import type { DatabasePort } from './surfaces/database/database.port.ts';
import { desktopSurface } from './surfaces/desktop/actions.ts';
import type { DesktopPort } from './surfaces/desktop/desktop.port.ts';
import type { ProviderEnvironment } from './surfaces/provider.port.ts';
import type { Source } from './surfaces/source.port.ts';
import type { Surface } from './surfaces/surface.port.ts';
import { webSurface } from './surfaces/web/actions.ts';
import type { WebPort } from './surfaces/web/web.port.ts';

/**
 * The composition root: the only place that knows which providers there are. Each is loaded when a
 * configuration names it, so that a command starts with no more than it needs.
 */
export const openApplication: OpenApplication = async (request) => {
  const runtime = runtimeWithFaults(request.processEnvironment.UNSHIP_FAULTS);
  const parts = await compose(request, runtime);
  return new RunningApplication(parts);
};

async function compose(request: OpenRequest, runtime: Runtime): Promise<Parts> {
  const definition = request.definition.environments[request.environment];
  if (definition === undefined) {
    throw new UnshipError('config-invalid', {
      happened: `there is no environment ${request.environment}`,
      next: `one of: ${Object.keys(request.definition.environments).join(', ')}`,
    });
  }
  const source = createSource(workTreeOf(request.root));
  const ports = await openSurfaces(request, runtime, source, definition.surfaces);
  const channels = await Promise.all(
    (definition.notifications?.team ?? []).map((item) => openChannel(request, runtime, source, item)),
  );
  const policy: Policy = {
    application: request.definition.name,
    environment: request.environment,
    bakeMs: watchPolicy(definition.guard).bakeMs,
    desktop: definition.guard?.desktop ?? 'after',
    approvals: definition.approvals ?? [],
    notifyTeam: channels.length > 0,
    rehearsal: definition.rehearsal ?? 'required',
    digest: (text) => runtime.digest(text),
  };
  return {
    ...ports,
    request,
    definition,
    policy,
    runtime,
    source,
    channels,
    drafts: createDraftFolder(join(request.stateFolder, 'incidents'), runtime.faults, request.mask),
    plannedReleases: new Map(),
    store: await openState(request, definition, runtime),
    owner: thisOwner(request.user, request.command),
    isOwnerAlive,
    checks: (webs) => openChecks(request, webs),
  };
}

async function openSurfaces(
  request: OpenRequest,
  runtime: Runtime,
  source: Source,
  definitions: { readonly [surface: string]: SurfaceDefinition },
): Promise<Ports> {
  const webs = new Map<string, WebPort>();
  const databases = new Map<string, DatabasePort>();
  const desktops = new Map<string, DesktopPort>();
  const surfaces = new Map<string, Surface>();
  let processEnvironment: { readonly [name: string]: string } = {};
  const environmentOf = (surface: string): ProviderEnvironment =>
    providerEnvironment(request, runtime, source, surface, processEnvironment);
  // Databases first: their addresses are part of what web processes are started with.
  const ordered = Object.entries(definitions).sort(
    ([, a], [, b]) => Number(b.kind === 'database') - Number(a.kind === 'database'),
  );
  for (const [name, definition] of ordered) {
    switch (definition.provider) {
      case 'sqlite': {
        const { createSqlite } = await import('./providers/sqlite/index.ts');
        const opened = createSqlite(definition.options as never, environmentOf(name));
        databases.set(name, opened.port);
        surfaces.set(name, databaseSurface(name, opened.port));
        processEnvironment = { ...processEnvironment, ...opened.environment };
        break;
      }
      case 'postgres': {
        const { createPostgres } = await import('./providers/postgres/index.ts');
        const opened = createPostgres(definition.options as never, environmentOf(name));
        databases.set(name, opened.port);
        surfaces.set(name, databaseSurface(name, opened.port));
        processEnvironment = { ...processEnvironment, ...opened.environment };
        break;
      }
      case 'server': {
        const { createServer } = await import('./providers/server/index.ts');
        const port = createServer(definition.options as never, environmentOf(name));
        webs.set(name, port);
        surfaces.set(name, webSurface(name, port));
        break;
      }
      case 'feed': {
        const { createFeed } = await import('./providers/feed/index.ts');
        const port = createFeed(definition.options as never, environmentOf(name));
        desktops.set(name, port);
        surfaces.set(name, desktopSurface(name, port));
        break;
      }
      default:
        throw new UnshipError('config-invalid', {
          happened: `surface ${name} names the provider \`${definition.provider}\`, which this version does not have`,
          next: 'one of: server, sqlite, postgres, feed',
        });
    }
  }
  return { webs, databases, desktops, surfaces };
}

function providerEnvironment(
  request: OpenRequest,
  runtime: Runtime,
  source: Source,
  surface: string,
  processEnvironment: { readonly [name: string]: string },
): ProviderEnvironment {
  const folder = join(request.stateFolder, 'surfaces', surface);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return {
    application: request.definition.name,
    environment: request.environment,
    surface,
    folder,
    root: request.root,
    source,
    runtime,
    reveal: (reference) => revealSecret(reference, request.processEnvironment),
    maskInto: request.maskInto,
    secretsIn: request.secretsIn,
    processEnvironment,
  };
}

async function openChannel(
  request: OpenRequest,
  runtime: Runtime,
  source: Source,
  definition: ChannelDefinition,
): Promise<Channel> {
  if (definition.provider !== 'slack') {
    throw new UnshipError('config-invalid', {
      happened: `a notification names the provider \`${definition.provider}\`, which this version does not have`,
      next: 'one of: slack',
    });
  }
  const { createSlack } = await import('./providers/slack/index.ts');
  return createSlack(
    definition.options as never,
    providerEnvironment(request, runtime, source, 'notifications', {}),
  );
}

/** Where none is configured, the live address itself is asked. */
async function openChecks(
  request: OpenRequest,
  webs: ReadonlyMap<string, WebPort>,
): Promise<readonly Check[]> {
  const { createCheck } = await import('./guard/checks.ts');
  const addresses = new Map(
    [...webs].flatMap(([name, port]) => (port.address === null ? [] : [[name, port.address]])),
  );
  const configured = request.definition.environments[request.environment]?.checks;
  const definitions = configured ?? [...addresses.keys()].map((surface) => ({ http: '/', surface }));
  return definitions.map((definition) =>
    createCheck(definition, { addresses, root: request.root, mask: request.mask ?? ((text) => text) }),
  );
}

/**
 * Top of the work tree that holds the configuration. Found by looking rather than by asking git: a rollback to a
 * warm release needs no repository, and a child process would cost it a tenth of its time.
 */
function workTreeOf(folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return at;
    if (dirname(at) === at) return folder;
  }
}
