import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { EvaluationInterrupted } from '../config/evaluate.ts';
import { chooseEnvironment, findConfiguration, loadConfiguration } from '../config/load.ts';
import { secretNames, secretNamesInText, secretValues } from '../config/secrets.ts';
import { openStateFolder, stateBase } from '../config/state-folder.ts';
import type { Application } from '../domain/application.ts';
import { isUnshipError } from '../domain/errors.ts';
import type { OpenedConfiguration } from './context.ts';
import type { Host } from './host.ts';
import { MaskedWriter, type Masker } from './output/mask.ts';
import type { Options } from './parse.ts';
import { Interrupted } from './prompt.ts';

export interface OpenParts {
  readonly host: Host;
  readonly options: Options;
  readonly cwd: string;
  readonly masker: Masker;
  /** The configuration of the last release will do when the file is broken. */
  readonly survivesBrokenConfiguration: boolean;
}

/** Loads the configuration and makes its secrets known to the masker before anything else sees them. */
export async function openConfiguration(parts: OpenParts): Promise<OpenedConfiguration> {
  const { host, options, cwd, masker } = parts;
  const base = stateBase(inFolder(cwd, options.text('state-dir')), host.environment, host);
  const opened = await loadOrRecall(parts, base);
  masker.register(secretValues(secretNames(opened.definition), host.environment));
  const environment = chooseEnvironment(opened.definition, options.text('env'));
  return { ...opened, environment, stateBase: base };
}

/** What can't be read is told by loading it. */
function textOrNone(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

type Loaded = Omit<OpenedConfiguration, 'environment' | 'stateBase'>;

async function loadOrRecall(parts: OpenParts, base: string): Promise<Loaded> {
  const { host, options, cwd, masker, survivesBrokenConfiguration } = parts;
  let root: string | undefined;
  try {
    const file = findConfiguration(cwd, options.text('config'));
    root = dirname(file);
    masker.register(secretValues(secretNamesInText(textOrNone(file)), host.environment));
    return await loadConfiguration(file);
  } catch (error) {
    if (error instanceof EvaluationInterrupted) throw new Interrupted();
    const slug = isUnshipError(error) ? error.slug : '';
    const broken = slug === 'config-invalid' || (slug === 'config-missing' && !options.flag('config'));
    if (!survivesBrokenConfiguration || !broken) throw error;
    const recalled = await recall(base, root === undefined ? foldersAbove(cwd) : [root]);
    if (recalled === undefined) throw error;
    return { ...recalled, fallback: isUnshipError(error) ? error.details.happened : slug };
  }
}

async function recall(base: string, folders: readonly string[]): Promise<Loaded | undefined> {
  const { recallConfiguration } = await import('../config/last-released.ts');
  for (const folder of folders) {
    const recalled = recallConfiguration(base, folder);
    if (recalled !== undefined) return recalled;
  }
  return undefined;
}

function foldersAbove(start: string): readonly string[] {
  const folders = [resolve(start)];
  for (let folder = dirname(resolve(start)); folder !== folders.at(-1); folder = dirname(folder)) {
    folders.push(folder);
  }
  return folders;
}

export async function openApplication(
  parts: OpenParts,
  configuration: OpenedConfiguration,
): Promise<Application> {
  const { host, masker } = parts;
  const { definition, environment, stateBase: base } = configuration;
  return await host.openApplication({
    definition,
    definitionHash: configuration.hash,
    environment,
    stateFolder: openStateFolder(base, definition.name, environment, host),
    root: configuration.root,
    processEnvironment: host.environment,
    // Kept in the state, where others read it; a reason may quote the address that failed.
    command: masker.mask(['unship', ...host.argv].join(' ')),
    user: host.user,
    mask: (text) => masker.mask(text),
    maskInto: (write) => new MaskedWriter(masker, write),
    secretsIn: (text) => masker.secretsIn(text),
  });
}

function inFolder(cwd: string, path: string | undefined): string | undefined {
  return path === undefined ? undefined : join(resolve(cwd, path));
}
