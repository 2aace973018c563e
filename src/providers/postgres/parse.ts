import type { ParseResult } from 'libpg-query';
import { UnshipError } from '../../domain/errors.ts';

/** A node of PostgreSQL's own parse tree: one key, the kind, and what belongs to it. */
export type Tree = { readonly [field: string]: unknown };

export interface ParsedStatement {
  /** From its first to its last token, without the semicolon. */
  readonly text: string;
  /** Line in the whole text, from 1: for messages. */
  readonly line: number;
  /** `AlterTableStmt`, `IndexStmt` … */
  readonly kind: string;
  readonly node: Tree;
}

/** Splits and parses a script; throws `migration-invalid` where PostgreSQL's grammar does not take it. */
export type Parse = (file: string, sql: string) => readonly ParsedStatement[];

let loading: Promise<Parse> | undefined;

/** PostgreSQL's own grammar (version 18, which reads what 15 to 17 read). Loading it takes about 0.1 s, once. */
export function loadParser(): Promise<Parse> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Parse> {
  const { loadModule, parseSync } = await import('libpg-query');
  await loadModule();
  return (file, sql) => {
    // An empty text is an error to the library and a script without statements to everybody else.
    if (sql.trim() === '') return [];
    return statementsOf(sql, parsed(file, sql, parseSync));
  };
}

function parsed(file: string, sql: string, parse: (sql: string) => ParseResult): ParseResult {
  try {
    return parse(sql);
  } catch (error) {
    const at = (error as { readonly sqlDetails?: { readonly cursorPosition?: number } }).sqlDetails
      ?.cursorPosition;
    const place = at === undefined ? '' : `, line ${lineAt(sql, at)}`;
    throw new UnshipError('migration-invalid', {
      happened: `${file}${place}: ${error instanceof Error ? error.message : String(error)}`,
      done: 'nothing was changed',
      cause: error,
    });
  }
}

function lineAt(sql: string, at: number): number {
  return sql.slice(0, at).split('\n').length;
}

const leading = /^(?:\s|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*/;

function statementsOf(sql: string, { stmts = [] }: ParseResult): readonly ParsedStatement[] {
  // The parser counts bytes of UTF-8, JavaScript counts others.
  const bytes = Buffer.from(sql, 'utf8');
  let line = 1;
  let counted = 0;
  return stmts.flatMap(({ stmt, stmt_location: from = 0, stmt_len: length }) => {
    const [entry] = Object.entries((stmt ?? {}) as Tree);
    if (entry === undefined) return [];
    const end = length === undefined || length === 0 ? bytes.length : from + length;
    const raw = bytes.subarray(from, end).toString('utf8');
    const skipped = leading.exec(raw)?.[0] ?? '';
    const start = from + Buffer.byteLength(skipped);
    line += lineBreaks(bytes.subarray(counted, start));
    counted = start;
    const text = withoutEnd(raw.slice(skipped.length));
    return [{ text, line, kind: entry[0], node: entry[1] as Tree }];
  });
}

function lineBreaks(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0);
}

/** Without the semicolon and the space behind it; letter by letter, for a pattern could be made to take very long. */
function withoutEnd(text: string): string {
  let end = text.length;
  while (end > 0 && /[\s;]/.test(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}
