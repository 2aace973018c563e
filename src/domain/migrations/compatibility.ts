import type { Compatibility, MigrationFacts } from '../facts.ts';
import type { Migration } from './migration-files.ts';
import { identifier, keyword, type SqlStatement, type SqlToken, splitStatements } from './sql-statements.ts';

export type Classification = Pick<MigrationFacts, 'oldCodeRuns' | 'newCodeRuns' | 'changesRows'>;

/** What a migration's text does, collected statement by statement. Lines are clauses: `drops entries.mood`. */
interface Findings {
  /** Tables made by this very migration: nobody else knows them. */
  readonly created: Set<string>;
  /** `table.column` added by this migration. */
  readonly addedColumns: Set<string>;
  readonly dropped: Set<string>;
  readonly breaksOld: string[];
  readonly breaksNew: string[];
  readonly changed: Map<string, string>;
}

/** Reads tokens from the left; names may have a schema in front. */
class Reader {
  readonly #tokens: readonly SqlToken[];
  #at = 0;

  constructor(tokens: readonly SqlToken[]) {
    this.#tokens = tokens;
  }

  /** Takes these keywords when they come next, in this order. */
  take(...words: readonly string[]): boolean {
    if (!words.every((word, index) => keyword(this.#tokens[this.#at + index]) === word)) return false;
    this.#at += words.length;
    return true;
  }

  /** Takes one of these keywords when it comes next. */
  takeAny(...words: readonly string[]): boolean {
    return words.some((word) => this.take(word));
  }

  name(): string {
    let name = identifier(this.#tokens[this.#at]) ?? '?';
    this.#at += 1;
    if (this.#tokens[this.#at]?.text === '.') {
      name = identifier(this.#tokens[this.#at + 1]) ?? '?';
      this.#at += 2;
    }
    return name;
  }

  rest(): readonly SqlToken[] {
    return this.#tokens.slice(this.#at);
  }
}

/** Tokens outside every pair of parentheses. */
function outer(tokens: readonly SqlToken[]): readonly SqlToken[] {
  let depth = 0;
  return tokens.filter((token) => {
    if (token.text === '(') depth += 1;
    const isOuter = depth === 0;
    if (token.text === ')') depth -= 1;
    return isOuter;
  });
}

function hasWord(tokens: readonly SqlToken[], ...words: readonly string[]): boolean {
  return words.some((word) => tokens.some((token) => keyword(token) === word));
}

function change(findings: Findings, table: string, what: string): void {
  if (findings.created.has(table.toLowerCase())) return;
  if (!findings.changed.has(table)) findings.changed.set(table, what);
}

function readCreate(reader: Reader, findings: Findings): void {
  const temporary = reader.takeAny('TEMP', 'TEMPORARY');
  const unique = reader.take('UNIQUE');
  if (reader.take('VIRTUAL', 'TABLE') || reader.take('TABLE')) {
    reader.take('IF', 'NOT', 'EXISTS');
    const table = reader.name();
    findings.created.add(table.toLowerCase());
    if (!temporary) findings.breaksNew.push(`adds the table ${table}`);
    return;
  }
  if (reader.take('INDEX')) {
    reader.take('CONCURRENTLY');
    reader.take('IF', 'NOT', 'EXISTS');
    const index = reader.name();
    reader.take('ON');
    const table = reader.name();
    if (!unique || findings.created.has(table.toLowerCase())) return;
    findings.breaksOld.push(`makes rows of ${table} unique (${index}), which older code need not heed`);
    findings.breaksNew.push(`adds the unique index ${index}`);
    return;
  }
  if (reader.take('VIEW')) {
    reader.take('IF', 'NOT', 'EXISTS');
    findings.breaksNew.push(`adds the view ${reader.name()}`);
    return;
  }
  if (reader.take('TRIGGER')) {
    reader.take('IF', 'NOT', 'EXISTS');
    const trigger = reader.name();
    const rest = reader.rest();
    const table = identifier(rest[rest.findIndex((token) => keyword(token) === 'ON') + 1]) ?? '?';
    if (findings.created.has(table.toLowerCase())) return;
    findings.breaksOld.push(`adds the trigger ${trigger} on ${table}, which changes what older code writes`);
    findings.breaksNew.push(`adds the trigger ${trigger}`);
    return;
  }
  unknown(findings, 'CREATE', reader.rest());
}

function readDrop(reader: Reader, findings: Findings): void {
  if (reader.take('TABLE')) {
    reader.take('IF', 'EXISTS');
    const table = reader.name();
    if (findings.created.delete(table.toLowerCase())) return;
    findings.dropped.add(table.toLowerCase());
    findings.breaksOld.push(`drops the table ${table}, which older code may read`);
    change(findings, table, `drops the table ${table} with its rows`);
    return;
  }
  if (reader.take('INDEX')) return;
  if (reader.takeAny('VIEW', 'TRIGGER')) {
    reader.take('IF', 'EXISTS');
    findings.breaksOld.push(`drops ${reader.name()}, which older code may rely on`);
    return;
  }
  unknown(findings, 'DROP', reader.rest());
}

function renameTable(findings: Findings, table: string, target: string): void {
  if (findings.created.has(table.toLowerCase())) {
    findings.created.delete(table.toLowerCase());
    if (!findings.dropped.has(target.toLowerCase())) {
      findings.created.add(target.toLowerCase());
      return;
    }
    findings.dropped.delete(target.toLowerCase());
    for (const list of [findings.breaksOld, findings.breaksNew]) {
      const noise = list.filter(
        (line) => !line.includes(`the table ${target}`) && !line.includes(`the table ${table}`),
      );
      list.splice(0, list.length, ...noise);
    }
    findings.breaksOld.push(`rebuilds ${target}, whose columns and rules older code may not know`);
    findings.breaksNew.push(`rebuilds ${target}`);
    findings.changed.set(target, `rebuilds ${target} from its rows`);
    return;
  }
  findings.breaksOld.push(`renames the table ${table}, which older code may read`);
  findings.breaksNew.push(`renames ${table} to ${target}`);
}

function readAddColumn(reader: Reader, table: string, findings: Findings): void {
  reader.take('IF', 'NOT', 'EXISTS');
  const column = reader.name();
  const rest = reader.rest();
  const plain = outer(rest);
  findings.addedColumns.add(`${table}.${column}`.toLowerCase());
  if (findings.created.has(table.toLowerCase())) return;
  findings.breaksNew.push(`adds ${table}.${column}`);
  const notNull = plain.some(
    (token, index) => keyword(token) === 'NOT' && keyword(plain[index + 1]) === 'NULL',
  );
  if (notNull && !hasWord(plain, 'DEFAULT', 'GENERATED', 'AS')) {
    findings.breaksOld.push(
      `adds ${table}.${column} NOT NULL without a default, which older code does not fill`,
    );
  }
  if (hasWord(plain, 'CHECK', 'UNIQUE', 'PRIMARY')) {
    findings.breaksOld.push(`adds ${table}.${column} with a rule that older code does not know`);
  }
}

function readAlter(reader: Reader, findings: Findings): void {
  if (!reader.take('TABLE')) {
    unknown(findings, 'ALTER', reader.rest());
    return;
  }
  reader.take('IF', 'EXISTS');
  reader.take('ONLY');
  const table = reader.name();
  if (reader.take('RENAME', 'TO')) {
    renameTable(findings, table, reader.name());
    return;
  }
  if (reader.take('RENAME')) {
    reader.take('COLUMN');
    const column = reader.name();
    reader.take('TO');
    if (findings.created.has(table.toLowerCase())) return;
    findings.breaksOld.push(`renames ${table}.${column}, which older code may read`);
    findings.breaksNew.push(`renames ${table}.${column} to ${reader.name()}`);
    return;
  }
  if (reader.take('ADD')) {
    const constraint = hasWord(
      reader.rest().slice(0, 1),
      'CONSTRAINT',
      'CHECK',
      'UNIQUE',
      'FOREIGN',
      'PRIMARY',
    );
    reader.take('COLUMN');
    if (!constraint) {
      readAddColumn(reader, table, findings);
      return;
    }
    findings.breaksOld.push(`adds a rule to ${table}, which older code need not heed`);
    findings.breaksNew.push(`adds a rule to ${table}`);
    return;
  }
  if (reader.take('DROP') && !hasWord(reader.rest().slice(0, 1), 'CONSTRAINT')) {
    reader.take('COLUMN');
    reader.take('IF', 'EXISTS');
    const column = reader.name();
    if (findings.created.has(table.toLowerCase())) return;
    findings.breaksOld.push(`drops ${table}.${column}, which older code may read`);
    change(findings, table, `drops ${table}.${column} with its values`);
    return;
  }
  unknown(findings, `ALTER TABLE ${table}`, reader.rest(), table);
}

/** Columns that the SET of an UPDATE names. */
function setColumns(tokens: readonly SqlToken[]): readonly string[] {
  const plain = outer(tokens);
  const columns: string[] = [];
  const start = plain.findIndex((token) => keyword(token) === 'SET') + 1;
  for (let at = start; at < plain.length; at += 1) {
    if (hasWord(plain.slice(at, at + 1), 'FROM', 'WHERE', 'RETURNING', 'ORDER')) break;
    const begins = at === start || plain[at - 1]?.text === ',';
    if (begins) columns.push(plain[at + 1]?.text === '=' ? (identifier(plain[at]) ?? '?') : '?');
  }
  return columns;
}

const verbs: ReadonlySet<string> = new Set(['UPDATE', 'DELETE', 'INSERT', 'REPLACE']);

function readWrite(statement: SqlStatement, findings: Findings): void {
  const plain = outer(statement.tokens);
  const verbToken = plain.find((token) => hasWord([token], ...verbs));
  if (verbToken === undefined) return;
  const tokens = statement.tokens.slice(statement.tokens.indexOf(verbToken));
  const reader = new Reader(tokens);
  const verb = keyword(verbToken);
  reader.takeAny('UPDATE', 'DELETE', 'INSERT', 'REPLACE');
  const resolution = reader.take('OR') ? reader.name().toUpperCase() : '';
  reader.takeAny('FROM', 'INTO');
  reader.take('ONLY');
  const table = reader.name();
  if (verb === 'DELETE') {
    change(findings, table, `deletes rows of ${table}`);
    return;
  }
  if (verb === 'UPDATE') {
    const columns = setColumns(reader.rest());
    const onlyNew = columns.every((column) => findings.addedColumns.has(`${table}.${column}`.toLowerCase()));
    if (onlyNew && resolution !== 'REPLACE') return;
    change(findings, table, `rewrites ${columns.map((column) => `${table}.${column}`).join(', ')}`);
    return;
  }
  const rest = outer(reader.rest());
  const overwrites =
    verb === 'REPLACE' || resolution === 'REPLACE' || (hasWord(rest, 'CONFLICT') && hasWord(rest, 'SET'));
  if (overwrites) {
    change(findings, table, `overwrites rows of ${table}`);
    return;
  }
  if (hasWord(rest, 'SELECT')) change(findings, table, `fills ${table} from other rows`);
}

function unknown(findings: Findings, start: string, rest: readonly SqlToken[], table = '?'): void {
  const text = [start, ...rest.slice(0, 3).map((token) => token.text)].join(' ');
  const what = `has a statement whose effect is not known (${text.trim()} …)`;
  findings.breaksOld.push(what);
  findings.breaksNew.push(what);
  // It may do anything: rewrite rows as well.
  change(findings, table, what);
}

const harmless: ReadonlySet<string> = new Set([
  ...['PRAGMA', 'SELECT', 'ANALYZE', 'REINDEX', 'VACUUM', 'BEGIN', 'COMMIT', 'END', 'SAVEPOINT', 'RELEASE'],
  ...['COMMENT', 'SET', 'VALUES', 'EXPLAIN'],
]);

function readStatement(statement: SqlStatement, findings: Findings): void {
  const reader = new Reader(statement.tokens);
  if (reader.take('CREATE')) {
    readCreate(reader, findings);
    return;
  }
  if (reader.take('DROP')) {
    readDrop(reader, findings);
    return;
  }
  if (reader.take('ALTER')) {
    readAlter(reader, findings);
    return;
  }
  if (reader.take('TRUNCATE')) {
    reader.take('TABLE');
    const table = reader.name();
    change(findings, table, `empties ${table}`);
    return;
  }
  const first = keyword(statement.tokens[0]) ?? '';
  if (verbs.has(first) || first === 'WITH') {
    readWrite(statement, findings);
    return;
  }
  if (!harmless.has(first)) unknown(findings, '', statement.tokens);
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

/**
 * What one migration means for the code on either side of it and for the rows that were there, as its text
 * tells. What is not understood counts as breaking, and as changing rows. The author's declarations go before the text.
 */
export function classifyMigration(migration: Migration): Classification {
  const findings: Findings = {
    created: new Set(),
    addedColumns: new Set(),
    dropped: new Set(),
    breaksOld: [],
    breaksNew: [],
    changed: new Map(),
  };
  for (const statement of splitStatements(migration.up)) readStatement(statement, findings);
  const unchanged = migration.declared.has('rows-unchanged');
  const changes = unchanged ? [] : [...findings.changed.values()];
  return {
    oldCodeRuns: judge(migration, 'old', findings.breaksOld, 'only adds what older code does not use'),
    newCodeRuns: judge(
      migration,
      'new',
      findings.breaksNew.map((line) => `${line}, which newer code may need`),
      'adds nothing that newer code could need',
    ),
    changesRows: {
      holds: changes.length > 0,
      tables: unchanged ? [] : [...findings.changed.keys()],
      reason:
        changes.length > 0
          ? `${migration.name} ${clauses(changes)}`
          : `${migration.name} ${unchanged ? 'declares that rows are unchanged' : 'changes no rows that were there'}`,
    },
  };
}
