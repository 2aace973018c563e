import { errorCatalogue } from '../../domain/error-catalogue.ts';
import type { Answer, CommandContext } from '../context.ts';
import { usage } from '../parse.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const kind = context.options.text('values');
  if (kind !== undefined) return text(await valuesOf(context, kind));
  const { completionScript } = await import('../completion.ts');
  const [shell] = context.arguments;
  if (shell === undefined) throw usage('complete needs a shell: bash, zsh or fish', 'unship complete bash');
  return text(completionScript(shell).trimEnd().split('\n'));
}

/** Whoever presses tab wants no error message, so what can't be told is nothing. */
async function valuesOf(context: CommandContext, kind: string): Promise<readonly string[]> {
  try {
    if (kind === 'slugs') return [...Object.keys(errorCatalogue), 'exit-codes'];
    const { definition, environment } = await context.configuration();
    if (kind === 'environments') return Object.keys(definition.environments);
    if (kind === 'surfaces') return Object.keys(definition.environments[environment]?.surfaces ?? {});
    const application = await context.application();
    if (kind === 'releases') return (await application.releases(30)).map((release) => release.id);
    if (kind === 'runs') return (await application.runs(30)).map((one) => String(one.id));
    return [];
  } catch {
    return [];
  }
}

function text(lines: readonly string[]): Answer {
  return { exit: 0, document: { schema: 'unship.completion/1', lines }, screen: lines };
}
