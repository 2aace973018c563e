import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isSafeName } from '../domain/names.ts';
import { detectDatabases } from './detect-database.ts';
import { detectDesktop } from './detect-desktop.ts';
import {
  type Detection,
  dependsOn,
  type Finding,
  listFolder,
  readPackage,
  sourcesBelow,
  withinRepository,
} from './evidence.ts';

/** Looks at files only; runs nothing and asks nobody. */
export function detect(root: string): Detection {
  const folders = ['.', ...foldersToLookIn(root)];
  const findings = [
    ...folders.flatMap((folder) => detectWeb(root, folder)),
    ...folders.flatMap((folder) => detectDesktop(root, folder)),
    ...detectDatabases(root, folders),
  ];
  return { name: applicationName(root), within: withinRepository(root), findings: withUniqueNames(findings) };
}

const packageFolders = ['web', 'app', 'frontend', 'backend', 'server', 'api', 'desktop', 'electron'];

/** Where parts of an application usually lie: known names, and one level below `apps` and `packages`. */
function foldersToLookIn(root: string): readonly string[] {
  const found = packageFolders.filter((name) => existsSync(join(root, name, 'package.json')));
  for (const parent of ['apps', 'packages']) {
    for (const name of listFolder(join(root, parent))) {
      if (existsSync(join(root, parent, name, 'package.json'))) found.push(`${parent}/${name}`);
    }
  }
  return found;
}

const foreignHosts: readonly (readonly [file: string, what: string])[] = [
  ['vercel.json', 'Vercel project'],
  ['netlify.toml', 'Netlify site'],
  ['wrangler.toml', 'Cloudflare Worker'],
  ['wrangler.jsonc', 'Cloudflare Worker'],
  ['fly.toml', 'Fly application'],
];

function detectWeb(root: string, folder: string): readonly Finding[] {
  const at = (name: string): string => (folder === '.' ? name : `${folder}/${name}`);
  const findings: Finding[] = [];
  for (const [file, what] of foreignHosts) {
    if (existsSync(join(root, folder, file)))
      findings.push({ kind: 'unsupported', evidence: at(file), what });
  }
  if (existsSync(join(root, folder, 'Dockerfile'))) {
    findings.push({ kind: 'unsupported', evidence: at('Dockerfile'), what: 'container image' });
  }
  const json = readPackage(join(root, folder));
  const scripts = ['build', 'start'].filter((name) => typeof json?.scripts?.[name] === 'string');
  if (!scripts.includes('start') || dependsOn(json, 'electron')) return findings;
  const next = listFolder(join(root, folder)).find((name) => /^next\.config\.(js|mjs|cjs|ts)$/.test(name));
  findings.push({
    kind: 'web',
    surface: folder === '.' ? 'web' : basename(folder),
    evidence: `${at('package.json')}: ${scripts.join(', ')}${next === undefined ? '' : `; ${next}`}`,
    provider: 'server',
    root: folder,
    health: findHealthPath(join(root, folder)),
  });
  return findings;
}

const healthPath = /['"`](\/(?:api\/)?(?:health|healthz|healthcheck|ready|readyz|livez|ping))['"`]/;
function findHealthPath(folder: string): string | null {
  for (const text of sourcesBelow(folder)) {
    const found = healthPath.exec(text)?.[1];
    if (found !== undefined) return found;
  }
  return null;
}

/** `@scope/My App` becomes `my-app`. */
function applicationName(root: string): string {
  const named = readPackage(root)?.name;
  const text = (typeof named === 'string' ? named : basename(root)).replace(/^@[^/]*\//, '');
  const safe = text
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|(?<![.-])[.-]+$/g, '');
  return isSafeName(safe) && !(safe in {}) ? safe : 'application';
}

/** Two of a name would be one key in the configuration. */
function withUniqueNames(findings: readonly Finding[]): readonly Finding[] {
  const taken = new Set<string>(['unship']);
  return findings.map((finding) => {
    if (finding.kind === 'unsupported') return finding;
    let name = isSafeName(finding.surface) ? finding.surface : finding.kind;
    for (let next = 2; taken.has(name); next += 1) name = `${finding.surface}-${next}`;
    taken.add(name);
    return { ...finding, surface: name };
  });
}
