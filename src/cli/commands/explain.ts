import { errorCatalogue } from '../../domain/error-catalogue.ts';
import type { Answer, CommandContext } from '../context.ts';
import { exitCodePages } from '../exit-codes.ts';
import { labelled, table } from '../output/layout.ts';
import { usage } from '../parse.ts';
import { suggestion } from '../suggest.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const [slug] = context.arguments;
  if (slug === undefined) return everything();
  if (slug === 'exit-codes') return exitCodes();
  const entry = Object.hasOwn(errorCatalogue, slug) ? errorCatalogue[slug] : undefined;
  if (entry === undefined) {
    const near = suggestion(slug, [...Object.keys(errorCatalogue), 'exit-codes']);
    throw usage(
      `there is no error \`${slug}\``,
      near === undefined ? 'unship explain' : `unship explain ${near}`,
    );
  }
  return {
    exit: 0,
    document: { schema: 'unship.explanation/1', slug, ...entry },
    screen: [
      `${slug}: ${entry.title}`,
      ...(entry.explain === '' ? [] : labelled('Means', entry.explain)),
      ...(entry.next === '' ? [] : labelled('Next', entry.next)),
      ...labelled('Exit', String(entry.exit)),
    ],
  };
}

function everything(): Answer {
  const rows = Object.entries(errorCatalogue).map(([slug, entry]) => [slug, entry.title]);
  return {
    exit: 0,
    document: { schema: 'unship.explanations/1', errors: errorCatalogue },
    screen: [...table(rows, 1), '', 'More      unship explain SLUG, unship explain exit-codes'],
  };
}

function exitCodes(): Answer {
  const codes = exitCodePages.map(([code, text]) => ({ code, text }));
  return {
    exit: 0,
    document: { schema: 'unship.exit-codes/1', codes },
    screen: table(
      codes.map(({ code, text }) => [String(code), text]),
      1,
    ),
  };
}
