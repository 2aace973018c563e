/** A line of output and when it came, in ms since the recording began. */
export interface RecordedLine {
  readonly text: string;
  readonly at: number;
}

const columns = 84;
const characterWidth = 8.43;
const lineHeight = 19;
const margin = 18;

/** Classes by what a line begins with: the status words say it too, so colour is never the only sign. */
const styles: readonly (readonly [start: RegExp, name: string])[] = [
  [/^\$ /, 'command'],
  [/^ok +/, 'ok'],
  [/^(FAIL) +/, 'fail'],
  [/^(warn|wait|undo) +/, 'warn'],
  [/^---/, 'warn'],
  [/^#/, 'quiet'],
  [/^(No return(?= step)|(Why|Order|Time|Data|Other|Run|Observed|Not done|Open|Next|Done) {2,})/, 'label'],
];

const style = `
:root { --back: #ffffff; --front: #1f2328; --ok: #116329; --warn: #7d4e00; --fail: #a40e26; --label: #0550ae; --quiet: #59636e; --edge: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --front: #e6edf3; --ok: #56d364; --warn: #e3b341; --fail: #ff7b72; --label: #79c0ff; --quiet: #9198a1; --edge: #3d444d; }
}
rect { fill: var(--back); stroke: var(--edge); }
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: var(--front); white-space: pre; }
.ok { fill: var(--ok); }
.warn { fill: var(--warn); }
.fail { fill: var(--fail); }
.label { fill: var(--label); }
.quiet { fill: var(--quiet); }
.command { font-weight: bold; }
@media (prefers-reduced-motion: no-preference) {
  text { animation: appear 1ms linear backwards; }
  @keyframes appear { from { opacity: 0; } }
}`;

/**
 * A terminal's text as an SVG with title and description. Lines appear at the pace they were recorded at, once,
 * where motion is welcome; elsewhere all of it is there from the start.
 */
export function terminalSvg(lines: readonly RecordedLine[], title: string, description: string): string {
  const width = Math.ceil(columns * characterWidth + 2 * margin);
  const height = lines.length * lineHeight + 2 * margin;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">
<title id="title">${escaped(title)}</title>
<desc id="description">${escaped(description)}</desc>
<style>${style}
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>
${lines.map((line, index) => drawn(line, margin + (index + 0.75) * lineHeight)).join('\n')}
</svg>
`;
}

function drawn({ text, at }: RecordedLine, y: number): string {
  const cut = text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
  const found = styles.map(([start, name]) => ({ name, match: start.exec(cut) })).find(({ match }) => match);
  const head = found?.match?.[0] ?? '';
  const coloured = found === undefined || head === '' ? 0 : whole.has(found.name) ? cut.length : head.length;
  const rest = escaped(cut.slice(coloured));
  const first =
    coloured === 0 ? '' : `<tspan class="${found?.name}">${escaped(cut.slice(0, coloured))}</tspan>`;
  return `<text x="${margin}" y="${y}" style="animation-delay:${Math.round(at)}ms">${first}${rest}</text>`;
}

/** Styles that a whole line has, not only its first word. */
const whole: ReadonlySet<string> = new Set(['command', 'quiet']);

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
