import { openDatabase } from './connection.ts';

/** Without a log of its own, a copy is one file whose bytes can be hashed. */
export function singleFile(file: string): void {
  using copy = openDatabase(file, 'write');
  copy.exec('PRAGMA journal_mode = DELETE');
}
