import type { SurfaceKind } from '../release.ts';

/**
 * Every action that a plan can name: whether it can be undone, and how long it may take. The planner, the
 * handlers and their contract tests all read this table.
 */
export interface ActionEntry {
  readonly kind: SurfaceKind | 'unship';
  /** `nothing`: it leaves nothing behind that would need undoing. */
  readonly undo: 'yes' | 'nothing' | 'impossible';
  readonly timeoutMs: number;
  /** It changes what people are served, read or download; everything else is preparation or record. */
  readonly live: boolean;
  /** It does nothing but wait, for time or for a person: the run is then `waiting`, and another process may go on. */
  readonly waits: boolean;
  /** Its effect ends with the process that caused it: a run that is resumed before what needed it does it again. */
  readonly fleeting?: boolean;
}

const second = 1000;
const minute = 60 * second;

export type ActionName =
  | 'web.stage'
  | 'web.start'
  | 'web.hold'
  | 'web.switch'
  | 'web.resume'
  | 'web.retire'
  | 'web.prune'
  | 'database.backup'
  | 'database.migrate-up'
  | 'database.migrate-down'
  | 'database.restore'
  | 'desktop.stage'
  | 'desktop.publish'
  | 'desktop.halt'
  | 'desktop.pull'
  | 'desktop.unpull'
  | 'desktop.publish-standby'
  | 'unship.record-live'
  | 'unship.record-good'
  | 'unship.record-rollback'
  | 'unship.record-aborted'
  | 'unship.watch'
  | 'unship.approval'
  | 'unship.notify'
  | 'unship.incident'
  | 'unship.rehearse';

export const actions: { readonly [action in ActionName]: ActionEntry } = {
  'web.stage': { kind: 'web', undo: 'yes', timeoutMs: 20 * minute, live: false, waits: false },
  'web.start': { kind: 'web', undo: 'yes', timeoutMs: 2 * minute, live: false, waits: false },
  'web.hold': { kind: 'web', undo: 'yes', timeoutMs: minute, live: true, waits: false, fleeting: true },
  'web.switch': { kind: 'web', undo: 'yes', timeoutMs: minute, live: true, waits: false },
  'web.resume': { kind: 'web', undo: 'nothing', timeoutMs: minute, live: false, waits: false },
  'web.retire': { kind: 'web', undo: 'nothing', timeoutMs: minute, live: false, waits: false },
  'web.prune': { kind: 'web', undo: 'nothing', timeoutMs: 2 * minute, live: false, waits: false },
  'database.backup': { kind: 'database', undo: 'yes', timeoutMs: 60 * minute, live: false, waits: false },
  'database.migrate-up': { kind: 'database', undo: 'yes', timeoutMs: 60 * minute, live: true, waits: false },
  'database.migrate-down': {
    kind: 'database',
    undo: 'yes',
    timeoutMs: 60 * minute,
    live: true,
    waits: false,
  },
  'database.restore': { kind: 'database', undo: 'yes', timeoutMs: 60 * minute, live: true, waits: false },
  'desktop.stage': { kind: 'desktop', undo: 'yes', timeoutMs: 30 * minute, live: false, waits: false },
  'desktop.publish': { kind: 'desktop', undo: 'yes', timeoutMs: 10 * minute, live: true, waits: false },
  'desktop.halt': { kind: 'desktop', undo: 'yes', timeoutMs: minute, live: false, waits: false },
  'desktop.pull': { kind: 'desktop', undo: 'yes', timeoutMs: minute, live: true, waits: false },
  'desktop.unpull': { kind: 'desktop', undo: 'yes', timeoutMs: minute, live: true, waits: false },
  'desktop.publish-standby': {
    kind: 'desktop',
    undo: 'impossible',
    timeoutMs: 10 * minute,
    live: true,
    waits: false,
  },
  'unship.record-live': { kind: 'unship', undo: 'yes', timeoutMs: 10 * second, live: true, waits: false },
  'unship.record-good': { kind: 'unship', undo: 'yes', timeoutMs: 10 * second, live: false, waits: false },
  'unship.record-rollback': { kind: 'unship', undo: 'yes', timeoutMs: 10 * second, live: true, waits: false },
  'unship.record-aborted': { kind: 'unship', undo: 'yes', timeoutMs: 10 * second, live: false, waits: false },
  'unship.watch': { kind: 'unship', undo: 'nothing', timeoutMs: 24 * 60 * minute, live: false, waits: true },
  'unship.approval': {
    kind: 'unship',
    undo: 'nothing',
    timeoutMs: 24 * 60 * minute,
    live: false,
    waits: true,
  },
  'unship.notify': { kind: 'unship', undo: 'nothing', timeoutMs: 15 * second, live: false, waits: false },
  'unship.incident': { kind: 'unship', undo: 'nothing', timeoutMs: 15 * second, live: false, waits: false },
  'unship.rehearse': { kind: 'unship', undo: 'nothing', timeoutMs: 30 * minute, live: false, waits: false },
};

/** Entry of an action, `web` + `switch`. */
export function actionEntry(name: string): ActionEntry | undefined {
  return (actions as { readonly [action: string]: ActionEntry })[name];
}
