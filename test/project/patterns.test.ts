import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

process.env.RECHECK_BACKEND = 'pure';
const { checkSync } = await import('recheck');
const project = fileURLToPath(new URL('../..', import.meta.url));

/** Every regular expression that a source writes down, as it stands there. */
function patternsOf(path: string): readonly string[] {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (node.kind === ts.SyntaxKind.RegularExpressionLiteral) {
      found.push((node as ts.RegularExpressionLiteral).text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Attack strings are looked for by thousands; a pattern that is neither safe nor caught is told apart. */
function verdictOf(literal: string): string {
  const end = literal.lastIndexOf('/');
  return checkSync(literal.slice(1, end), literal.slice(end + 1), { timeout: 5_000 }).status;
}

test('control 29: no pattern in the sources can be made to run for ever', () => {
  const files = globSync('src/**/*.ts', { cwd: project });
  const patterns = new Set(files.flatMap((file) => patternsOf(join(project, file))));
  assert.ok(patterns.size > 100, `${patterns.size} patterns`);
  const vulnerable = [...patterns].filter((literal) => verdictOf(literal) === 'vulnerable');
  assert.deepEqual(vulnerable, []);
});

test('control 29: a pattern that can is seen', () => {
  assert.equal(verdictOf('/^(a|a)*$/'), 'vulnerable');
});
