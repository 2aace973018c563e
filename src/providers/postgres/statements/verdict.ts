import type { ParsedStatement } from '../parse.ts';

/** PostgreSQL's table locks from SHARE UPDATE EXCLUSIVE on, and the one that every write takes. */
export const lockModes = [
  'row exclusive',
  'share update exclusive',
  'share',
  'share row exclusive',
  'exclusive',
  'access exclusive',
] as const;
export type LockMode = (typeof lockModes)[number];

/** What one statement of a migration means. Clauses have no subject: `drops entries.mood`. */
export interface StatementVerdict {
  readonly statement: ParsedStatement;
  /** Why code from before can't be relied on to run after it; empty when it runs. */
  readonly breaksOld: readonly string[];
  /** What it adds that code from after may need; empty when that code runs before it, too. */
  readonly breaksNew: readonly string[];
  /** Tables whose rows from before it changes, each with how. */
  readonly changesRows: ReadonlyMap<string, string>;
  /** The strongest lock on each table that was there. Locks that block no other statement's work are left out. */
  readonly locks: ReadonlyMap<string, LockMode>;
  /** Tables that are written anew as a whole, under the lock. */
  readonly rewrites: readonly string[];
  /** Tables that are read as a whole, under the lock. */
  readonly scans: readonly string[];
  /** `outside`: the server refuses it in a transaction. `ends`: it ends the one that is open. */
  readonly transaction: 'any' | 'outside' | 'ends';
  /** False where nothing can be known from the text: dynamic SQL, functions of the application, new syntax. */
  readonly isKnown: boolean;
  /** What a person should know besides, as whole clauses. */
  readonly remarks: readonly string[];
}

/** Collects what one statement means. */
export class Finding {
  readonly breaksOld: string[] = [];
  readonly breaksNew: string[] = [];
  readonly changesRows: Map<string, string> = new Map();
  readonly locks: Map<string, LockMode> = new Map();
  readonly rewrites: Set<string> = new Set();
  readonly scans: Set<string> = new Set();
  readonly remarks: string[] = [];
  transaction: StatementVerdict['transaction'] = 'any';
  isKnown = true;

  lock(table: string, mode: LockMode): void {
    const held = this.locks.get(table);
    if (held === undefined || lockModes.indexOf(mode) > lockModes.indexOf(held)) this.locks.set(table, mode);
  }

  change(table: string, how: string): void {
    if (!this.changesRows.has(table)) this.changesRows.set(table, how);
  }

  /** Nobody can tell: then it breaks both, and may change any row. */
  unknown(what: string): void {
    this.isKnown = false;
    this.breaksOld.push(what);
    this.breaksNew.push(what);
    this.change('?', what);
  }

  /** Locks and the time they last, without what it means for code and rows. */
  takeCost(other: Finding): void {
    for (const [table, mode] of other.locks) this.lock(table, mode);
    for (const table of other.rewrites) this.rewrites.add(table);
    for (const table of other.scans) this.scans.add(table);
  }

  verdict(statement: ParsedStatement, created: ReadonlySet<string>): StatementVerdict {
    // Nobody waits for a table that nobody else can see yet.
    const seen = ([table]: readonly [string, unknown]): boolean => !created.has(table);
    return {
      statement,
      breaksOld: this.breaksOld,
      breaksNew: this.breaksNew,
      changesRows: new Map([...this.changesRows].filter(seen)),
      locks: new Map([...this.locks].filter(seen)),
      rewrites: [...this.rewrites].filter((table) => !created.has(table)),
      scans: [...this.scans].filter((table) => !created.has(table)),
      transaction: this.transaction,
      isKnown: this.isKnown,
      remarks: this.remarks,
    };
  }
}

const blocked: { readonly [mode in LockMode]: (table: string) => string | undefined } = {
  'row exclusive': () => undefined,
  'share update exclusive': (table) =>
    `reads and writes of ${table} go on; VACUUM and other changes of its structure wait`,
  share: (table) => `writes to ${table} wait, reads go on`,
  'share row exclusive': (table) => `writes to ${table} wait, reads go on`,
  exclusive: (table) => `writes to ${table} wait, reads go on`,
  'access exclusive': (table) => `reads and writes of ${table} wait`,
};

/** Who waits for the statement, and for how long, one sentence for each table that somebody can wait for. */
export function costInWords(verdict: StatementVerdict): readonly string[] {
  return [...verdict.locks].flatMap(([table, mode]) => {
    const who = blocked[mode](table);
    if (who === undefined) return [];
    // The time of the whole statement counts, whichever table it is spent on.
    const long =
      verdict.rewrites.length > 0
        ? `until ${verdict.rewrites.join(', ')} is written anew, row by row`
        : verdict.scans.length > 0
          ? `until all rows of ${verdict.scans.join(', ')} are read`
          : 'for a moment, once every transaction that uses it has ended';
    return [`${who}, ${long}`];
  });
}
