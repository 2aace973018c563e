import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { revealSecret } from '../config/secrets.ts';
import type { OpenRequest } from '../domain/application.ts';
import type { EnvironmentDefinition, StateDefinition } from '../domain/definition.ts';
import type { Runtime } from '../domain/runtime.ts';
import type { Keeping } from '../store/keeping.ts';
import { firstFence, openSqliteStore } from '../store/open-sqlite.ts';
import type { Store } from '../store/store.port.ts';
import { createEvidenceFolder } from './evidence-folder.ts';

/** Opens the state that the configuration names: a file in the state folder, or a database that machines share. */
export async function openState(
  request: OpenRequest,
  definition: EnvironmentDefinition,
  runtime: Runtime,
): Promise<Store> {
  const file = stateFile(request);
  const keeping: Keeping = {
    mask: (text) => request.mask?.(text) ?? text,
    setAside: createEvidenceFolder(join(request.stateFolder, 'corrupt'), runtime),
  };
  if (definition.state === undefined) {
    return openSqliteStore(file, runtime, firstFence(file, runtime), keeping);
  }
  // Whoever keeps his state in a file reads nothing of this.
  const { openSharedState } = await import('./shared-state.ts');
  return await openSharedState(request, definition, runtime, keeping);
}

export function stateFile({ stateFolder }: OpenRequest): string {
  return join(stateFolder, 'state.db');
}

export function hasStateFile(request: OpenRequest): boolean {
  return existsSync(stateFile(request));
}

export function stateUrl({ options }: StateDefinition, request: OpenRequest): string {
  return revealSecret(options.url, request.processEnvironment).reveal();
}
