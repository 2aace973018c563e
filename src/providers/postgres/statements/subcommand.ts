import type { Tree } from '../parse.ts';
import type { Script } from './script.ts';
import type { Finding } from './verdict.ts';

/** One subcommand of ALTER TABLE on one table. */
export interface Subcommand {
  readonly script: Script;
  readonly finding: Finding;
  readonly table: string;
  readonly relation: Tree;
  readonly command: Tree;
}

export type Reader = (subcommand: Subcommand) => void;
