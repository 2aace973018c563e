import {
  appendFileSync,
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { UnshipError } from '../domain/errors.ts';
import type { Detection, Finding } from './evidence.ts';
import { configurationNames } from './load.ts';

/** What can't be told from files, and is asked. */
export interface Answers {
  readonly health: string;
  readonly port: number;
}

type Supported = Exclude<Finding, { kind: 'unsupported' }>;

/** The text of `unship.config.ts` for what was found: short, and with the next thing to fill in as a comment. */
export function configurationText(detection: Detection, answers: Answers): string {
  const found = detection.findings.filter((one): one is Supported => one.kind !== 'unsupported');
  const providers = [...new Set(found.map((one) => one.provider))].sort();
  const hasSecret = found.some((one) => one.provider === 'postgres');
  const webs = found.filter((one) => one.kind === 'web');
  const checks = webs.map((one) => {
    const named = webs.length > 1 ? `surface: ${quote(one.surface)}, ` : '';
    return `{ ${named}http: ${quote(answers.health)}, status: 200 }`;
  });
  const lines = [
    `import { ${hasSecret ? 'defineApplication, secret' : 'defineApplication'} } from 'unship';`,
    ...providers.map((name) => `import { ${name} } from 'unship/providers/${name}';`),
    '',
    'export default defineApplication({',
    `  name: ${quote(detection.name)},`,
    '  environments: {',
    '    production: {',
    '      surfaces: {',
    ...found.flatMap((one, index) =>
      surfaceLines(inRepository(one, detection.within), answers, answers.port + index),
    ),
    '      },',
    ...(checks.length === 0 ? [] : [`      checks: [${checks.join(', ')}],`]),
    "      // Who is told of a rollback: notifications: { team: [slack({ webhook: secret('SLACK_WEBHOOK') })] },",
    '    },',
    '  },',
    '});',
  ];
  return `${lines.join('\n')}\n`;
}

/** Roots and migrations are paths of a commit; they begin at the repository, wherever the configuration lies. */
function inRepository(finding: Supported, within: string): Supported {
  if (within === '.') return finding;
  const at = (path: string): string => (path === '.' ? within : `${within}/${path}`);
  if (finding.kind !== 'database') return { ...finding, root: at(finding.root) };
  return { ...finding, migrations: at(finding.migrations ?? 'migrations') };
}

function surfaceLines(finding: Supported, answers: Answers, port: number): readonly string[] {
  const settings: string[] = [];
  if (finding.kind === 'web') {
    if (finding.root !== '.') settings.push(`root: ${quote(finding.root)}`);
    settings.push(`health: ${quote(answers.health)}`, `switch: { gateway: { port: ${port} } }`);
  }
  if (finding.kind === 'desktop') {
    settings.push(`root: ${quote(finding.root)}`, `artifacts: ${quote(finding.artifacts)}`);
    settings.push(`folder: 'updates'`, ...(finding.url === null ? [] : [`url: ${quote(finding.url)}`]));
  }
  if (finding.kind === 'database') {
    const place =
      finding.provider === 'sqlite'
        ? `file: ${quote(finding.file)}`
        : `url: secret(${quote(finding.variable)})`;
    settings.push(place);
    if (finding.migrations !== null) settings.push(`migrations: ${quote(finding.migrations)}`);
    if (finding.variable !== null) settings.push(`environment: ${quote(finding.variable)}`);
  }
  const key = /^[A-Za-z_$][\w$]*$/.test(finding.surface) ? finding.surface : quote(finding.surface);
  return [
    `        // ${finding.evidence.replace(/[\r\n]/g, ' ')}`,
    `        ${key}: ${finding.provider}({ ${settings.join(', ')} }),`,
  ];
}

function quote(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

/** Writes the file; returns its name. Throws `already-there` before anything is touched. */
export function writeConfiguration(root: string, text: string): string {
  const there = configurationNames.find((name) => existsSync(join(root, name)));
  if (there !== undefined) throw alreadyThere(there);
  const name = configurationNames[0];
  let handle: number;
  try {
    // `wx`: even a file that appears in this very moment is not overwritten.
    handle = openSync(join(root, name), 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw alreadyThere(name);
    throw error;
  }
  try {
    writeFileSync(handle, text);
    // The program's own files are private by its umask; this one belongs to the project.
    fchmodSync(handle, 0o644);
    fsyncSync(handle);
  } catch (error) {
    // Half a configuration would stand in the way of the next try.
    rmSync(join(root, name), { force: true });
    throw error;
  } finally {
    closeSync(handle);
  }
  return name;
}

function alreadyThere(name: string): UnshipError {
  return new UnshipError('already-there', {
    happened: `${name} is there already`,
    done: 'nothing; it was not overwritten',
    next: 'unship doctor, or move the file away and repeat unship init',
  });
}

const ignored = '.unship/';

/** Appends what git is to leave out; returns whether anything had to be. */
export function extendGitignore(root: string): boolean {
  const file = join(root, '.gitignore');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (text.split(/\r?\n/).some((line) => line.trim().replace(/^\//, '').replace(/\/$/, '') === '.unship'))
    return false;
  const border = text === '' || text.endsWith('\n') ? '' : '\n';
  appendFileSync(file, `${border}${ignored}\n`, { mode: 0o644 });
  return true;
}
