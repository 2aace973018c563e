/** `name` is a bare word, `quoted` an identifier in quotes, `string` a literal; comments are no tokens. */
export interface SqlToken {
  readonly kind: 'name' | 'quoted' | 'string' | 'number' | 'symbol';
  /** As written. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface SqlStatement {
  /** From its first to its last token, without the semicolon. */
  readonly text: string;
  /** Line in the whole text, from 1: for messages. */
  readonly line: number;
  readonly tokens: readonly SqlToken[];
}

const space = /\s+/y;
const lineComment = /--[^\n]*/y;
const blockComment = /\/\*[\s\S]*?(?:\*\/|$)/y;
const dollarQuote = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const rules: readonly (readonly [SqlToken['kind'], RegExp])[] = [
  ['string', /'(?:[^']|'')*(?:'|$)/y],
  ['quoted', /"(?:[^"]|"")*(?:"|$)/y],
  ['quoted', /`(?:[^`]|``)*(?:`|$)/y],
  ['quoted', /\[[^\]]*(?:\]|$)/y],
  ['number', /(?:0[xX][0-9a-fA-F]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?|\.\d[\d_]*(?:[eE][+-]?\d+)?)/y],
  ['name', /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y],
];

function endOf(rule: RegExp, sql: string, at: number): number | undefined {
  rule.lastIndex = at;
  return rule.test(sql) ? rule.lastIndex : undefined;
}

/** A string between dollar signs (`$$ … $$`, PostgreSQL); in SQLite a single `$name` is a parameter. */
function endOfDollarString(sql: string, at: number): number | undefined {
  const open = endOf(dollarQuote, sql, at);
  if (open === undefined) return undefined;
  const close = sql.indexOf(sql.slice(at, open), open);
  return close === -1 ? undefined : close + (open - at);
}

/** Every token of a text, comments and white space left out. Never throws: an open string runs to the end. */
export function tokenize(sql: string): readonly SqlToken[] {
  const tokens: SqlToken[] = [];
  let at = 0;
  while (at < sql.length) {
    const skipped =
      endOf(space, sql, at) ?? endOf(lineComment, sql, at) ?? endOf(blockComment, sql, at) ?? undefined;
    if (skipped !== undefined) {
      at = skipped;
      continue;
    }
    const dollar = endOfDollarString(sql, at);
    let kind: SqlToken['kind'] = dollar === undefined ? 'symbol' : 'string';
    let end = dollar;
    for (const [candidate, rule] of end === undefined ? rules : []) {
      end = endOf(rule, sql, at);
      if (end === undefined) continue;
      kind = candidate;
      break;
    }
    end ??= at + 1;
    tokens.push({ kind, text: sql.slice(at, end), start: at, end });
    at = end;
  }
  return tokens;
}

/** The bare word in capitals, or undefined for anything else: quoted words are never keywords. */
export function keyword(token: SqlToken | undefined): string | undefined {
  return token?.kind === 'name' ? token.text.toUpperCase() : undefined;
}

/** The name that a token means; undefined when it can't be one. */
export function identifier(token: SqlToken | undefined): string | undefined {
  if (token === undefined) return undefined;
  if (token.kind === 'name') return token.text;
  // SQLite takes 'name' for an identifier where only an identifier can stand.
  if (token.kind !== 'quoted' && token.kind !== 'string') return undefined;
  const quote = token.text.charAt(0);
  const inner = token.text.slice(1, -1);
  return quote === '[' ? inner : inner.replaceAll(quote + quote, quote);
}

function isTriggerStart(tokens: readonly SqlToken[]): boolean {
  if (keyword(tokens[0]) !== 'CREATE') return false;
  const second = keyword(tokens[1]);
  return (
    second === 'TRIGGER' ||
    ((second === 'TEMP' || second === 'TEMPORARY') && keyword(tokens[2]) === 'TRIGGER')
  );
}

/**
 * Statements of a script, empty ones left out. A trigger's body holds semicolons: as in sqlite3_complete(), it
 * ends at `; END ;`, so the END of a CASE does not end it.
 */
export function splitStatements(sql: string): readonly SqlStatement[] {
  const statements: SqlStatement[] = [];
  let open: SqlToken[] = [];
  let line = 1;
  let counted = 0;
  const close = (): void => {
    const [first] = open;
    const last = open.at(-1);
    if (first === undefined || last === undefined) return;
    line += sql.slice(counted, first.start).split('\n').length - 1;
    counted = first.start;
    statements.push({ text: sql.slice(first.start, last.end), line, tokens: open });
    open = [];
  };
  for (const token of tokenize(sql)) {
    if (token.text !== ';' || token.kind !== 'symbol') {
      open.push(token);
      continue;
    }
    const bodyEnds = keyword(open.at(-1)) === 'END' && open.at(-2)?.text === ';';
    if (isTriggerStart(open) && !bodyEnds) open.push(token);
    else close();
  }
  close();
  return statements;
}

const transactionWords: ReadonlySet<string> = new Set([
  'BEGIN',
  'COMMIT',
  'END',
  'ROLLBACK',
  'SAVEPOINT',
  'RELEASE',
]);

/** True for statements that begin or end a transaction. */
export function controlsTransaction(statement: SqlStatement): boolean {
  return transactionWords.has(keyword(statement.tokens[0]) ?? '');
}

/**
 * The same text for statements that differ only in white space, comments, case of keywords and quoting of
 * names. Names are compared without case, as SQL does.
 */
export function normalizeSql(tokens: readonly SqlToken[]): string {
  return tokens
    .map((token) =>
      token.kind === 'name' || token.kind === 'quoted' ? identifier(token)?.toLowerCase() : token.text,
    )
    .join(' ');
}
