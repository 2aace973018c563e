/** On standard error: standard output belongs to the document. */
export function log(text: string): void {
  process.stderr.write(`${text}\n`);
}
