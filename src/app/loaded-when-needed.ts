/** Loads once, at the first call: what a command does not need it does not read, and a second call costs nothing. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => {
    loaded ??= load();
    return loaded;
  };
}

/**
 * Parts of the application that most commands, and what a switch waits for, do without. Every file that is read before
 * the switch is time that users wait.
 */
export const load: {
  readonly abortFirst: () => Promise<typeof import('./abort-first.ts')>;
  readonly adopt: () => Promise<typeof import('./adopt.ts')>;
  readonly backupCare: () => Promise<typeof import('./backup-care.ts')>;
  readonly directPlans: () => Promise<typeof import('./direct-plans.ts')>;
  readonly doctor: () => Promise<typeof import('./doctor.ts')>;
  readonly dueRuns: () => Promise<typeof import('./due-runs.ts')>;
  readonly incident: () => Promise<typeof import('./incident.ts')>;
  readonly rehearsal: () => Promise<typeof import('./rehearsal.ts')>;
  readonly releasing: () => Promise<typeof import('./releasing.ts')>;
  readonly reports: () => Promise<typeof import('./reports.ts')>;
  readonly standby: () => Promise<typeof import('./standby.ts')>;
  readonly unfollowed: () => Promise<typeof import('./unfollowed.ts')>;
  readonly upkeep: () => Promise<typeof import('./upkeep.ts')>;
  readonly watch: () => Promise<typeof import('./watch.ts')>;
} = {
  abortFirst: once(() => import('./abort-first.ts')),
  adopt: once(() => import('./adopt.ts')),
  backupCare: once(() => import('./backup-care.ts')),
  directPlans: once(() => import('./direct-plans.ts')),
  doctor: once(() => import('./doctor.ts')),
  dueRuns: once(() => import('./due-runs.ts')),
  incident: once(() => import('./incident.ts')),
  rehearsal: once(() => import('./rehearsal.ts')),
  releasing: once(() => import('./releasing.ts')),
  reports: once(() => import('./reports.ts')),
  standby: once(() => import('./standby.ts')),
  unfollowed: once(() => import('./unfollowed.ts')),
  upkeep: once(() => import('./upkeep.ts')),
  watch: once(() => import('./watch.ts')),
};
