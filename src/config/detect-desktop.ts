import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dependsOn, type Finding, listFolder, readPackage } from './evidence.ts';

const builderFile = /^electron-builder\.(yml|yaml|json|json5|toml|js|cjs|mjs|ts)$/;

interface Builder {
  readonly file: string;
  /** `generic`, `github`, …; null when none is written there. */
  readonly provider: string | null;
  readonly url: string | null;
  readonly output: string | null;
}

/** An application that electron-builder packages, and where its clients look for updates. */
export function detectDesktop(root: string, folder: string): readonly Finding[] {
  const builder = findBuilder(root, folder);
  if (builder === undefined) {
    const json = readPackage(join(root, folder));
    if (!dependsOn(json, 'electron') || !dependsOn(json, '@electron-forge/cli')) return [];
    const evidence = folder === '.' ? 'package.json' : `${folder}/package.json`;
    return [{ kind: 'unsupported', evidence, what: 'Electron Forge application' }];
  }
  const evidence = `${folder === '.' ? '' : `${folder}/`}${builder.file}: ${builder.provider ?? 'no publish provider'}`;
  if (builder.provider !== null && builder.provider !== 'generic') {
    return [{ kind: 'unsupported', evidence, what: `desktop updates from ${builder.provider}` }];
  }
  const output = builder.output ?? 'dist';
  return [
    {
      kind: 'desktop',
      surface: 'desktop',
      evidence,
      provider: 'feed',
      root: folder,
      artifacts: folder === '.' ? output : `${folder}/${output}`,
      url: builder.url,
    },
  ];
}

function findBuilder(root: string, folder: string): Builder | undefined {
  const path = join(root, folder);
  const file = listFolder(path).find((name) => builderFile.test(name));
  if (file !== undefined) return { file, ...readSettings(readFileSync(join(path, file), 'utf8')) };
  const json = readPackage(path);
  if (!dependsOn(json, 'electron-builder') || typeof json?.build !== 'object' || json.build === null)
    return undefined;
  return { file: 'package.json', ...readSettings(JSON.stringify(json.build, null, 2)) };
}

/**
 * The few settings that matter, in YAML, JSON, TOML or code alike: `key: value` or `key = "value"`. What is
 * computed is not found, and then asked for.
 */
function readSettings(text: string): Omit<Builder, 'file'> {
  const bare = text.replace(/^[ \t]*(#|\/\/).*$/gm, '');
  return {
    provider: setting(bare, 'provider'),
    url: setting(bare, 'url', /^https?:\/\/\S+$/),
    output: setting(bare, 'output', /^[\w./-]+$/),
  };
}

function setting(text: string, key: string, shape = /^[\w-]+$/): string | null {
  const rule = new RegExp(`(?:^|[\\s{,"'-])${key}["']?\\s*[:=]\\s*["']?([^"'\\s,}]+)`, 'm');
  const value = rule.exec(text)?.[1];
  return value !== undefined && shape.test(value) ? value : null;
}
