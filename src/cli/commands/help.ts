import { programVersion } from '../../config/package-root.ts';
import type { Answer, CommandContext } from '../context.ts';
import { commandPage, familyPage, overview } from '../help.ts';
import { usage } from '../parse.ts';
import { suggestion } from '../suggest.ts';
import { commands } from '../table.ts';

export async function run(context: CommandContext): Promise<Answer> {
  if (context.options.flag('man')) {
    const { manualPage } = await import('../manual.ts');
    return page(manualPage(programVersion()).trimEnd().split('\n'));
  }
  const name = context.arguments.join(' ');
  if (name === '') return page(overview());
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return page(commandPage(command));
  const family = commands.filter((one) => one.name.startsWith(`${name} `));
  if (family.length > 0) return page(familyPage(family));
  const near = suggestion(
    name,
    commands.map((one) => one.name),
  );
  throw usage(`there is no command \`${name}\``, near === undefined ? 'unship help' : `unship help ${near}`);
}

function page(lines: readonly string[]): Answer {
  return { exit: 0, document: { schema: 'unship.help/1', text: lines.join('\n') }, screen: lines };
}
