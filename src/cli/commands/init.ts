import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { detect } from '../../config/detect.ts';
import type { Detection, Finding } from '../../config/evidence.ts';
import { configurationNames, loadConfiguration } from '../../config/load.ts';
import { type Answers, configurationText, extendGitignore, writeConfiguration } from '../../config/write.ts';
import { UnshipError } from '../../domain/errors.ts';
import { shortCommit } from '../../domain/names.ts';
import { confirmOrRefuse } from '../consent.ts';
import type { Answer, CommandContext } from '../context.ts';
import { labelled, table } from '../output/layout.ts';
import { surfacesText } from '../output/list-screens.ts';
import { usage } from '../parse.ts';
import { remember } from './release.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const adopts = context.options.flag('adopt');
  const [ref] = context.arguments;
  if (ref !== undefined && !adopts) throw usage(`init takes \`${ref}\` only with --adopt`);
  if (adopts && configurationNames.some((name) => existsSync(join(context.cwd, name))))
    return await adopt(context);
  const answer = await write(context);
  if (!adopts || context.options.flag('dry-run')) return answer;
  const adopted = await adopt(context);
  return { ...adopted, screen: [...answer.screen.slice(0, 1), ...adopted.screen] };
}

/** What is live becomes the first release; only a person can know which commit that is. */
async function adopt(context: CommandContext): Promise<Answer> {
  const application = await context.application();
  const ref = context.arguments[0] ?? 'HEAD';
  if (context.options.flag('dry-run')) {
    const document = { schema: 'unship.dry-run/1', would: 'adopt', ref };
    return { exit: 0, document, screen: [`Would adopt what is live as ${ref}. Nothing has changed.`] };
  }
  await confirmOrRefuse(context, `Is ${ref} the code of what is live?`);
  const release = await application.adopt(context.arguments[0]);
  await remember(context, application, release);
  const screen = [
    ...labelled('Adopted', `${release.id} (${shortCommit(release.commit)}): ${surfacesText(release)}`),
    ...labelled('Next', 'unship doctor'),
  ];
  return { exit: 0, document: { schema: 'unship.adopted/1', release }, screen };
}

async function write(context: CommandContext): Promise<Answer> {
  const root = context.cwd;
  refuseWhenThere(root);
  const detection = detect(root);
  const found = foundScreen(detection);
  if (detection.findings.every((one) => one.kind === 'unsupported')) throw nothingFound(detection);
  context.terminal.note(found);
  const text = configurationText(detection, await ask(context, detection));
  const document = { schema: 'unship.init/1', root, ...detection, text };
  if (context.options.flag('dry-run')) {
    const screen = ['', ...text.trimEnd().split('\n'), '', 'Nothing was written.'];
    return { exit: 0, document: { ...document, wrote: [] }, screen };
  }
  const wrote = [writeConfiguration(root, text)];
  if (extendGitignore(root)) wrote.push('.gitignore');
  // Proves what was written, and warms the compile cache for the first command that matters.
  await loadConfiguration(join(root, wrote[0] ?? ''));
  const screen = [...labelled('Wrote', wrote.join(', ')), ...labelled('Next', nextAfter(detection))];
  return { exit: 0, document: { ...document, wrote }, screen };
}

/** A database left out would be one that no rollback takes back, and nothing else would say so. */
function nextAfter({ findings }: Detection): string {
  const isIncomplete = findings.some((one) => one.kind === 'unsupported' && one.missing !== undefined);
  return isIncomplete
    ? "make the database file, add it to the surfaces (sqlite({ file: '…' }), or move the configuration away and repeat unship init), then unship doctor"
    : 'unship doctor';
}

function refuseWhenThere(root: string): void {
  const there = configurationNames.find((name) => existsSync(join(root, name)));
  if (there === undefined) return;
  throw new UnshipError('already-there', {
    happened: `${there} is there already`,
    done: 'nothing; it was not overwritten',
    next: 'unship doctor, or move the file away and repeat unship init',
  });
}

function foundScreen({ findings }: Detection): readonly string[] {
  const rows = findings.map((one, index) => [index === 0 ? 'Found' : '', ...foundRow(one)]);
  // Two spaces more bring the first column to the width of every other label.
  return table(
    rows.map(([label, ...rest]) => [(label ?? '').padEnd(8), ...rest]),
    2,
  );
}

function foundRow(finding: Finding): readonly string[] {
  if (finding.kind === 'unsupported')
    return ['-', `${finding.evidence} (${finding.what})`, finding.missing ?? 'not supported yet'];
  return [finding.surface, finding.evidence, finding.provider];
}

function nothingFound(detection: Detection): UnshipError {
  const seen = detection.findings.flatMap((one) =>
    one.kind === 'unsupported' ? [`${one.evidence}: ${one.what}`] : [],
  );
  return new UnshipError('config-missing', {
    happened: ['nothing was found here that this version can take back', ...seen].join('\n'),
    done: 'nothing',
    next: 'start it in the folder of the application, or write unship.config.ts by hand',
  });
}

/** Asks what files can't tell; off a terminal, or with `--yes`, what is likely is taken. */
async function ask(context: CommandContext, { findings }: Detection): Promise<Answers> {
  const web = findings.find((one) => one.kind === 'web');
  const likely: Answers = { health: web?.kind === 'web' ? (web.health ?? '/') : '/', port: 8080 };
  if (web === undefined || !context.prompt.possible || context.options.flag('yes')) return likely;
  const health = await context.prompt.value('Health address?', likely.health);
  const port = await context.prompt.value('Port of the gateway?', String(likely.port));
  return {
    health: health.startsWith('/') ? health : `/${health}`,
    port: /^\d{2,5}$/.test(port) && Number(port) < 65_536 ? Number(port) : likely.port,
  };
}
