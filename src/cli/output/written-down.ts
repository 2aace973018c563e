import type { WrittenDown, WrittenStatement } from '../../domain/report.ts';
import { plural, wrap } from './layout.ts';

/** SQL as a whole, so that it can be written into a file: whatever else is said stands in comments. */
export function writtenDownScreen(down: WrittenDown): readonly string[] {
  const losing = down.statements.filter((one) => !one.isLossless).length;
  const stopping = down.statements.filter((one) => one.stopsWhere !== null).length;
  return [
    ...comment(
      `The way back of ${down.name}, as the schemas before and after it tell. Up, down and up again were run on an empty database and led there and back. Read it before you keep it.`,
    ),
    ...comment(
      `${plural(down.statements.length, 'statement')}, ${losing} of them LOSSY; rows can stop ${stopping}.`,
    ),
    ...down.rowsNotTakenBack.flatMap((what) => comment(`NOT TAKEN BACK: the up ${what}.`)),
    ...down.columnOrder.flatMap((what) => comment(`Columns stand in another order then: ${what}.`)),
    ...down.notCovered.flatMap((what) => comment(`NOT COVERED: ${what}`)),
    ...(down.inTransaction ? [] : comment('It can not run in one transaction.')),
    ...down.statements.flatMap((one) => ['', ...statementLines(one)]),
  ];
}

function statementLines({ sql, isLossless, loses, stopsWhere }: WrittenStatement): readonly string[] {
  return [
    ...comment(isLossless ? 'lossless' : `LOSSY: ${loses ?? ''}`),
    ...(stopsWhere === null ? [] : comment(`FAILS where ${stopsWhere}`)),
    ...`${sql.trim().replace(/;$/, '')};`.split('\n'),
  ];
}

/** Names of the database stand in it: each line of it begins as a comment, whatever they hold. */
function comment(text: string): readonly string[] {
  return wrap(text, 77).map((line) => `-- ${line}`);
}
