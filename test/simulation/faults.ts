import type { Random } from './random.ts';

/** Everything that is let go wrong. CI fails when one of them has not happened. */
export const faultKinds = [
  'kill-before-effect',
  'kill-after-effect',
  'freeze',
  'out-of-memory-kill',
  'stalled-loop',
  'disk-full',
  'read-error',
  'write-error',
  'sync-error',
  'short-write',
  'lost-sync',
  'torn-sector',
  'flipped-byte',
  'clock-forward',
  'clock-back',
  'clock-frozen',
  'clock-skewed',
  'reply-lost',
  'reply-late',
  'reply-duplicated',
  'reply-truncated',
  'reply-stale',
  'reply-hanging',
  'connection-reset',
  'error-that-succeeded',
  'approval-early',
  'approval-twice',
  'human-change',
  'code-change',
  'connection-killed',
  'capture-lost',
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** Where a fault may strike. Each kind belongs to one place and happens at the n-th passing of it. */
export type Place = 'point' | 'time' | 'commit' | 'read' | 'call' | 'command';

const places: { readonly [kind in FaultKind]: Place } = {
  'kill-before-effect': 'point',
  'kill-after-effect': 'point',
  freeze: 'point',
  'out-of-memory-kill': 'time',
  'stalled-loop': 'time',
  'disk-full': 'commit',
  'read-error': 'read',
  'write-error': 'commit',
  'sync-error': 'commit',
  'short-write': 'commit',
  'lost-sync': 'commit',
  'torn-sector': 'time',
  'flipped-byte': 'time',
  'clock-forward': 'time',
  'clock-back': 'time',
  'clock-frozen': 'time',
  'clock-skewed': 'command',
  'reply-lost': 'call',
  'reply-late': 'call',
  'reply-duplicated': 'call',
  'reply-truncated': 'call',
  'reply-stale': 'call',
  'reply-hanging': 'call',
  'connection-reset': 'call',
  'error-that-succeeded': 'call',
  'approval-early': 'command',
  'approval-twice': 'time',
  'human-change': 'time',
  'code-change': 'time',
  'connection-killed': 'call',
  'capture-lost': 'time',
};

/** About how often a schedule passes each place: a fault that never comes to its turn is no fault. */
const passings: { readonly [place in Place]: number } = {
  point: 70,
  time: 0,
  commit: 30,
  read: 40,
  call: 40,
  command: 0,
};

/** The longest that a story takes before its faults stop, in ms of its own time. */
const storyMs = 30_000;

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly place: Place;
  /** At the so-many-th passing of its place; for `time`, ms after the beginning. */
  readonly at: number;
}

/** What goes wrong in one schedule: mostly one or two things, sometimes nothing, sometimes many. */
export function planFaults(random: Random): readonly PlannedFault[] {
  const count = random.pick([0, 1, 1, 1, 2, 2, 3, 4, 6]);
  return Array.from({ length: count }, () => {
    const kind = random.pick(faultKinds as unknown as readonly [FaultKind, ...FaultKind[]]);
    const place = places[kind];
    const most = place === 'time' ? storyMs : passings[place];
    // Early ones more often: the story may end before a late one.
    const at = Math.floor(random.next() * random.next() * most) + 1;
    return { kind, place, at };
  });
}

/** What of the plan is still to come, and what has happened. */
export class Faults {
  readonly fired: FaultKind[] = [];
  readonly #left: PlannedFault[];
  readonly #passed: { [place in Place]?: number } = {};
  /** From then on nothing goes wrong any more. */
  over = false;
  /** For now nothing goes wrong; what is passed meanwhile does not count. */
  held = false;

  constructor(planned: readonly PlannedFault[]) {
    this.#left = [...planned];
  }

  /** The fault that strikes at this passing of a place, of those that `fits` lets happen here. */
  at(place: Place, fits: (kind: FaultKind) => boolean = () => true): FaultKind | undefined {
    if (this.held) return undefined;
    const passing = (this.#passed[place] ?? 0) + 1;
    this.#passed[place] = passing;
    if (this.over) return undefined;
    const index = this.#left.findIndex(
      (fault) => fault.place === place && fault.at <= passing && fits(fault.kind),
    );
    if (index < 0) return undefined;
    const [fault] = this.#left.splice(index, 1);
    if (fault === undefined) return undefined;
    this.fired.push(fault.kind);
    return fault.kind;
  }

  /** Those that strike by the clock, and when. */
  byTime(): readonly PlannedFault[] {
    return this.#left.filter((fault) => fault.place === 'time');
  }

  happened(kind: FaultKind): boolean {
    return this.fired.includes(kind);
  }
}
