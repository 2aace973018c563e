import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * `npm run security-table`: writes the table of controls in docs/security.md anew, from the titles of tests that
 * begin with `control N: ` or `control N, M: `.
 */
const project = fileURLToPath(new URL('..', import.meta.url));
const begin = '<!-- controls: npm run security-table -->';
const end = '<!-- end of controls -->';

export const securityPage: string = `${project}docs/security.md`;

/** Number and wording of each control, in the order of the table. */
export const controls: readonly (readonly [number: number, wording: string])[] = JSON.parse(
  readFileSync(new URL('security-controls.json', import.meta.url), 'utf8'),
);

/** Files of the tests that prove a control, by its number, with how many there are in each. */
export type Proofs = ReadonlyMap<number, ReadonlyMap<string, number>>;

/** Numbers that a source's test titles carry, once for each test. */
export function provenControls(source: string): readonly number[] {
  const titles = source.matchAll(/\b(?:it|test)\(\s*['"`]control (\d[\d, ]{0,80}):/g);
  return [...titles].flatMap((match) => (match[1] ?? '').split(',').map(Number));
}

export function collectProofs(): Proofs {
  const proofs = new Map<number, Map<string, number>>();
  for (const file of globSync(['test/**/*.test.ts', 'src/testing/*-contract.ts'], { cwd: project }).sort()) {
    for (const number of provenControls(readFileSync(`${project}${file}`, 'utf8'))) {
      const files = proofs.get(number) ?? new Map<string, number>();
      proofs.set(number, files.set(file, (files.get(file) ?? 0) + 1));
    }
  }
  return proofs;
}

function tableOf(proofs: Proofs): string {
  const rows = controls.map(([number, wording]) => {
    const files = [...(proofs.get(number) ?? [])].map(
      ([file, count]) =>
        `[${file.replace(/^(test|src)\//, '')}](../${file})${count > 1 ? ` (${count})` : ''}`,
    );
    return [String(number), wording, files.length === 0 ? 'none' : files.join(', ')];
  });
  const head = ['control', 'what it says', 'tests'];
  // As the formatter wants it, so that a page made anew is one that the gate lets through.
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** The page with its table as the tests make it. Throws where the page has no place for it. */
export function withTable(page: string, proofs: Proofs): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/security.md lacks \`${begin}\` and \`${end}\``);
  return `${page.slice(0, from + begin.length)}\n\n${tableOf(proofs)}\n\n${page.slice(to)}`;
}

if (import.meta.main) {
  writeFileSync(securityPage, withTable(readFileSync(securityPage, 'utf8'), collectProofs()));
}
