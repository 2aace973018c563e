import { isDeepStrictEqual } from 'node:util';
import type { Ended, World } from '../support/world.ts';
import { exitOf, isUntouched, type Opinion, type Opinions } from './judge.ts';
import { type LastWords, lastWords } from './last-words.ts';
import { Observer } from './observer.ts';
import type { Observation } from './observer-process.ts';

/** A command as it was given and as it ended, between two looks of somebody else. */
export interface Heard {
  readonly args: readonly string[];
  readonly ended: Ended;
  /** Null where nobody looked. */
  readonly before: Observation | null;
  readonly after: Observation;
  readonly port: number;
  /** The version that the code of this release answers with; undefined when that is not known. */
  versionOf(release: string): string | undefined;
}

const agrees: Opinion = { opinion: 'agrees' };
const unknowable: Opinion = { opinion: 'unknowable' };

/** They speak of a run that was begun before the first look. */
const goingOn: ReadonlySet<string | undefined> = new Set(['resume', 'cancel', 'abort', 'finish']);

/** Whether a command's last words are what an outsider sees. */
export function opinionOn(heard: Heard): Opinion {
  const { args, ended } = heard;
  // Who was killed has said nothing.
  if (ended.signal !== null) return unknowable;
  const command = `unship ${args.join(' ')}`;
  const contradicts = (text: string): Opinion => ({ opinion: 'contradicts', text: `${command}: ${text}` });
  const words = lastWords(args, ended);
  if (words === undefined) return contradicts(`no document, and exit ${ended.exit}: ${ended.stderr}`);
  if (words.status !== null && words.status !== 'rehearsed' && exitOf(words.status, args) !== ended.exit)
    return contradicts(`it says ${words.status}, and exits with ${ended.exit}`);
  const claims = words.saysNothingWasDone
    ? [...nothingClaim(heard), ...standingClaims(words, heard)]
    : runClaims(words, heard);
  const wrong = claims.filter((claim) => claim !== null);
  if (wrong.length > 0) return contradicts(`${wrong.join('; ')}\n${ended.stdout}${ended.stderr}`);
  return claims.length > 0 ? agrees : unknowable;
}

/** One for each claim that can be held against what was seen: null when it is so, else what is seen instead. */
type Claims = readonly (string | null)[];

function nothingClaim({ before, after }: Heard): Claims {
  if (before === null) return [];
  if (isUntouched(before, after)) return [null];
  // Nobody answered at the first look, so nobody knows what was served.
  if (before.web === null && isUntouched(before, { ...after, web: null })) return [];
  return [`nothing was done, and ${JSON.stringify(before)} has become ${JSON.stringify(after)}`];
}

/** How each surface stands. Where nobody can see it, to say so is all that is true. */
function standingClaims({ standing }: LastWords, { after, versionOf }: Heard): Claims {
  const { web, schema, offered } = after;
  const seen = new Map([
    ['web', web?.version ?? 'nothing'],
    ['database', schema === null ? 'unknown' : (schema.applied.at(-1) ?? 'empty')],
    ['desktop', offered ?? 'nothing'],
  ]);
  return [...standing].flatMap(([surface, now]) => {
    const is = seen.get(surface);
    const said = surface === 'web' && now.startsWith('r') ? versionOf(now) : now;
    if (is === undefined || said === undefined) return [];
    // Without a table of versions a stranger can't tell whether the database is empty.
    const isUntold = said === 'unknown' || (said === 'empty' && is === 'unknown');
    return [said === is || isUntold ? null : `${surface} is said to be on ${now}, and it is ${is}`];
  });
}

function runClaims(words: LastWords, heard: Heard): Claims {
  if (words.status === 'undone') {
    const [command, more] = heard.args;
    return goingOn.has(command) || goingOn.has(more) ? [] : nothingClaim(heard);
  }
  if (words.status !== 'done') return [];
  return [...webClaim(words, heard), ...schemaClaim(words, heard), ...offerClaim(words, heard)];
}

function webClaim({ web }: LastWords, { after, port, versionOf }: Heard): Claims {
  const version = web === null || web.port !== port ? undefined : versionOf(web.release);
  if (version === undefined) return [];
  const seen = after.web?.version;
  return [seen === version ? null : `${web?.release} is ${version}, and ${seen ?? 'nobody'} answers`];
}

function schemaClaim({ migrations }: LastWords, { before, after }: Heard): Claims {
  if (migrations !== null) {
    const applied = after.schema?.applied ?? [];
    const isSo = applied.length === migrations.count && (applied.at(-1) ?? 'none') === migrations.newest;
    return [isSo ? null : `applied are ${applied.join() || 'none'}`];
  }
  if (before?.schema == null) return [];
  const same = isDeepStrictEqual(before.schema.applied, after.schema?.applied);
  return [
    same ? null : `it tells nothing of the schema, and ${before.schema.applied} is ${after.schema?.applied}`,
  ];
}

function offerClaim({ offered }: LastWords, { before, after }: Heard): Claims {
  const seen = after.offered ?? 'nothing';
  if (offered !== null) return [seen === offered ? null : `clients are offered ${seen}`];
  if (before === null) return [];
  const was = before.offered ?? 'nothing';
  return [seen === was ? null : `it tells nothing of the feed, and ${was} has become ${seen}`];
}

/** Of other places than the live one of the world nobody looks. */
const elsewhere = ['--env', '--state-dir', '--config', '--cwd'];

/** How long somebody who comes by waits for an answer, and somebody who was told that all is well. */
const passingMs = 500;
const patientMs = 10_000;

/** Stands beside one world, and judges the last words of its commands. */
export class Witness {
  readonly opinions: Opinions = { agrees: 0, unknowable: 0, contradicts: 0 };
  readonly contradictions: string[] = [];
  readonly #world: World;
  #observer: Observer | undefined;
  /** Commands that run, and how many were begun: what was seen beside others need not be one's own doing. */
  #running = 0;
  #begun = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Listens to one command. `before` is null when it was begun without waiting for a look. */
  async listen(args: readonly string[], before: Observation | null, command: Promise<Ended>): Promise<Ended> {
    const isAlone = this.#running === 0;
    this.#running += 1;
    this.#begun += 1;
    const begun = this.#begun;
    let ended: Ended;
    try {
      ended = await command;
    } finally {
      this.#running -= 1;
    }
    const isElsewhere = args.some((word) => elsewhere.some((option) => word.startsWith(option)));
    const isUndisturbed = isAlone && this.#begun === begun && this.#running === 0;
    if (ended.signal !== null || isElsewhere || !isUndisturbed) {
      this.opinions.unknowable += 1;
      return ended;
    }
    const after = await this.#look(patientMs);
    this.#add(this.#begun === begun ? this.#opinion(args, ended, before, after) : unknowable);
    return ended;
  }

  /** Null while others are at work. */
  async before(): Promise<Observation | null> {
    return this.#running > 0 ? null : await this.#look(passingMs);
  }

  #opinion(args: readonly string[], ended: Ended, before: Observation | null, after: Observation): Opinion {
    const world = this.#world;
    return opinionOn({
      ...{ args, ended, before, after, port: world.port },
      versionOf: (release) => world.versionOf(release),
    });
  }

  #add(opinion: Opinion): void {
    this.opinions[opinion.opinion] += 1;
    if (opinion.opinion === 'contradicts') this.contradictions.push(opinion.text);
  }

  #look(patience: number): Promise<Observation> {
    this.#observer ??= new Observer();
    return this.#observer.look(this.#world, patience);
  }

  end(): void {
    this.#observer?.end();
  }
}
