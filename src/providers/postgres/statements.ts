import type { Compatibility } from '../../domain/facts.ts';
import type { Classification } from '../../domain/migrations/compatibility.ts';
import { fileOf, type Migration } from '../../domain/migrations/migration-files.ts';
import { loadParser, type ParsedStatement, type Tree } from './parse.ts';
import { alterTable } from './statements/alter-table.ts';
import { changeReaders } from './statements/change.ts';
import { createReaders } from './statements/create.ts';
import type { Known } from './statements/known.ts';
import { Script } from './statements/script.ts';
import { upkeepReaders } from './statements/upkeep.ts';
import { Finding, type StatementVerdict } from './statements/verdict.ts';
import { readWrites } from './statements/writes.ts';

const writes: ReadonlySet<string> = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'],
]);
const readers: { readonly [kind: string]: (script: Script, finding: Finding, node: Tree) => void } = {
  ...createReaders,
  ...changeReaders,
  ...upkeepReaders,
  AlterTableStmt: alterTable,
};

/**
 * What each statement of a script means: for the code on either side of it, for rows, and for whoever uses the tables
 * while it runs. `known` are facts of the database before the first of them; without them the costlier is assumed.
 * What is not understood counts as breaking, and as changing rows.
 */
export function judgeStatements(
  statements: readonly ParsedStatement[],
  known?: Known,
): readonly StatementVerdict[] {
  const script = new Script(known);
  return statements.map((statement) => {
    const finding = new Finding();
    const created = new Set(script.created);
    const read = readers[statement.kind];
    if (writes.has(statement.kind)) readWrites(script, finding, { [statement.kind]: statement.node });
    else if (read !== undefined) read(script, finding, statement.node);
    else finding.unknown(`has a statement whose effect is not known (${shorten(statement.text)})`);
    return finding.verdict(statement, new Set([...created, ...script.created]));
  });
}

export interface JudgedMigration {
  readonly verdicts: readonly StatementVerdict[];
  readonly classification: Classification;
}

/** Parses and judges a migration's up. Throws `migration-invalid` where the grammar does not take it. */
export async function judgeMigration(migration: Migration, known?: Known): Promise<JudgedMigration> {
  const parse = await loadParser();
  const verdicts = judgeStatements(parse(fileOf(migration, 'up'), migration.up), known);
  return { verdicts, classification: classifyStatements(migration, verdicts) };
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 40 ? `${line.slice(0, 40)} …` : line;
}

/** At most three clauses, so that a reason fits on a line. */
function clauses(lines: readonly string[]): string {
  const shown = lines.slice(0, 3).join('; ');
  return lines.length > 3 ? `${shown}; and ${lines.length - 3} more` : shown;
}

function judge(
  migration: Migration,
  which: 'old' | 'new',
  breaking: readonly string[],
  runs: string,
): Compatibility {
  for (const verdict of ['runs', 'breaks'] as const) {
    if (migration.declared.has(`${which}-code-${verdict}`)) {
      return {
        holds: verdict === 'runs',
        reason: `${migration.name} declares that ${which === 'old' ? 'older' : 'newer'} code ${verdict}`,
      };
    }
  }
  return breaking.length === 0
    ? { holds: true, reason: `${migration.name} ${runs}` }
    : { holds: false, reason: `${migration.name} ${clauses(breaking)}` };
}

/** The same for the whole of a migration, as the planner wants it. The author's declarations go before the text. */
function classifyStatements(migration: Migration, verdicts: readonly StatementVerdict[]): Classification {
  const unchanged = migration.declared.has('rows-unchanged');
  const changed = new Map<string, string>();
  for (const [table, how] of unchanged ? [] : verdicts.flatMap((verdict) => [...verdict.changesRows])) {
    if (!changed.has(table)) changed.set(table, how);
  }
  const needs = verdicts.flatMap((verdict) =>
    verdict.breaksNew.map((line) => `${line}, which newer code may need`),
  );
  const changes = [...changed.values()];
  return {
    oldCodeRuns: judge(
      migration,
      'old',
      verdicts.flatMap((verdict) => verdict.breaksOld),
      'only adds what older code does not use',
    ),
    newCodeRuns: judge(migration, 'new', needs, 'adds nothing that newer code could need'),
    changesRows: {
      holds: changes.length > 0,
      tables: [...changed.keys()],
      reason:
        changes.length > 0
          ? `${migration.name} ${clauses(changes)}`
          : `${migration.name} ${unchanged ? 'declares that rows are unchanged' : 'changes no rows that were there'}`,
    },
  };
}
