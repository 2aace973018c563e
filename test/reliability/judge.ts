import { isDeepStrictEqual } from 'node:util';
import type { Ended } from '../support/world.ts';
import type { Observation } from './observer-process.ts';

/** How a release looks from outside: the test knows it, because it made the commit. */
export interface Looks {
  readonly version: string;
  readonly columns: readonly string[];
  readonly applied: readonly string[];
  isOffered(version: string | null): boolean;
}

/** What a command has said in its last words, beside what was seen before it and after it. */
export interface Statement {
  readonly args: readonly string[];
  readonly ended: Ended;
  readonly before: Observation;
  readonly after: Observation;
  /** Others were at work, or were struck, while it ran or since: what was seen need not be its own doing. */
  readonly isDisturbed: boolean;
  /** The run that it speaks of is the newest one that there is. */
  isNewest(run: number): boolean;
  /** Undefined for a release that nobody has made. */
  looksOf(release: string): Looks | undefined;
}

export type Opinion =
  | { readonly opinion: 'agrees' }
  /** It said nothing about the world that could be held against it, or somebody else has changed it since. */
  | { readonly opinion: 'unknowable' }
  | { readonly opinion: 'contradicts'; readonly text: string };

/** How many of each there were. */
export interface Opinions {
  agrees: number;
  unknowable: number;
  contradicts: number;
}

interface RunDocument {
  readonly schema: 'unship.run/1';
  readonly run: number;
  readonly kind: string;
  readonly status: string;
  readonly from: string | null;
  readonly to: string | null;
}

interface ErrorDocument {
  readonly schema: 'unship.error/1';
  readonly slug: string;
  readonly done?: string;
  readonly exit: number;
}

type Document =
  | RunDocument
  | ErrorDocument
  | { readonly schema: 'unship.resumed/1'; readonly runs: readonly RunDocument[] };

const agrees: Opinion = { opinion: 'agrees' };
const unknowable: Opinion = { opinion: 'unknowable' };

function contradicts(text: string): Opinion {
  return { opinion: 'contradicts', text };
}

/** The exit code that goes with a status: who reads only the one must not be told another story. */
export function exitOf(status: string, args: readonly string[]): number {
  const isCancel = args[0] === 'cancel';
  const [, step] = args[0] === 'release' ? args : [];
  if (step === 'begin') return ['done', 'waiting'].includes(status) ? 0 : 1;
  if (step === 'abort' && ['done', 'undone'].includes(status)) return 0;
  if (status === 'done') return isCancel ? 3 : 0;
  if (status === 'undone') return isCancel ? 0 : 1;
  return ['failed', 'blocked', 'superseded'].includes(status) ? 1 : 5;
}

/** How what is seen differs from how this release looks. */
export function differences(seen: Observation, looks: Looks): readonly string[] {
  const found: string[] = [];
  if (seen.web?.version !== looks.version)
    found.push(`${seen.web?.version ?? 'nobody'} answers, not ${looks.version}`);
  if (!isDeepStrictEqual(seen.schema?.columns, looks.columns))
    found.push(`the columns are ${seen.schema?.columns.join()}, not ${looks.columns.join()}`);
  if (!isDeepStrictEqual(seen.schema?.applied, looks.applied))
    found.push(`the ledger says ${seen.schema?.applied.join()}, not ${looks.applied.join()}`);
  if (!looks.isOffered(seen.offered)) found.push(`${seen.offered} is offered`);
  return found;
}

function judgeRun(statement: Statement, document: RunDocument): Opinion {
  const { status, kind, to, from, run } = document;
  const claimed = status === 'done' ? to : status === 'undone' ? from : null;
  if (claimed === null || kind === 'rehearsal' || kind === 'maintenance') return unknowable;
  const looks = statement.looksOf(claimed);
  if (looks === undefined) return contradicts(`${status}, and there is no ${claimed}`);
  const found = differences(statement.after, looks);
  if (found.length === 0) return agrees;
  if (statement.isDisturbed || !statement.isNewest(run)) return unknowable;
  return contradicts(`said ${kind} ${run} is ${status}, and ${found.join('; ')}`);
}

/** All is as it was, and what people have written meanwhile comes on top. */
export function isUntouched(before: Observation, after: Observation): boolean {
  const shape = ({ web, schema, offered }: Observation): unknown => [
    web?.version,
    schema?.columns,
    schema?.applied,
    offered,
  ];
  const [was, is] = [before.schema?.entries ?? [], after.schema?.entries ?? []];
  return isDeepStrictEqual(shape(before), shape(after)) && isDeepStrictEqual(is.slice(0, was.length), was);
}

function judgeError(statement: Statement, document: ErrorDocument): Opinion {
  if (document.exit !== statement.ended.exit)
    return contradicts(`exit ${statement.ended.exit}, and the document says ${document.exit}`);
  if (document.slug === 'internal') return contradicts(`a defect: ${statement.ended.stdout}`);
  if (document.done !== 'nothing') return unknowable;
  if (isUntouched(statement.before, statement.after)) return agrees;
  if (statement.isDisturbed) return unknowable;
  return contradicts(`said that nothing was done, and the world has changed (${document.slug})`);
}

/** Whether what a command said of itself is what an outsider sees. */
export function judge(statement: Statement): Opinion {
  const { args, ended } = statement;
  // Who was killed has said nothing.
  if (ended.signal !== null) return unknowable;
  const command = `unship ${args.join(' ')}`;
  let document: Document;
  try {
    document = JSON.parse(ended.stdout) as Document;
  } catch {
    return contradicts(`${command} ended with ${ended.exit} and said nothing: ${ended.stderr}`);
  }
  const opinion = judgeDocument(statement, document);
  return opinion.opinion === 'contradicts' ? contradicts(`${command}: ${opinion.text}`) : opinion;
}

function judgeDocument(statement: Statement, document: Document): Opinion {
  const { args, ended } = statement;
  if (document.schema === 'unship.error/1') return judgeError(statement, document);
  if (document.schema === 'unship.resumed/1') {
    const last = document.runs.at(-1);
    if (ended.exit === 0 && document.runs.some(({ status }) => exitOf(status, args) !== 0))
      return contradicts('exit 0, and not everything that was due is done');
    return last === undefined ? unknowable : judgeRun(statement, last);
  }
  if (document.schema !== 'unship.run/1') return unknowable;
  const exit = exitOf(document.status, args);
  if (ended.exit !== exit) return contradicts(`exit ${ended.exit}, and ${document.status} means ${exit}`);
  return judgeRun(statement, document);
}
