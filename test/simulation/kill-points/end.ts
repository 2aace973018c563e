import type { World } from '../world.ts';

/** How a world ended, line by line, as far as it must not depend on who was killed meanwhile. */
export function endOf({ web, database, desktop, disk, messages, drafts }: World): readonly string[] {
  const { content } = disk;
  // What is taken back before it served leaves as much behind as it had come to.
  const isUndone = content.runs.at(-1)?.summary.status === 'undone';
  return [
    `${web.live} serves`,
    `running: ${[...web.running].sort().join()}`,
    `built: ${[...web.staged.keys()].sort().join()}`,
    `schema ${database.applied.join()}`,
    `overwritten by: ${[...database.overwritten.keys()].sort().join()}`,
    ...(isUndone ? [] : [...database.backups.keys()].map((id) => `backup ${id}`)),
    `restored: ${database.restored?.backup ?? 'nothing'}`,
    `offered: ${desktop.state.offered}`,
    ...Object.entries(desktop.state.versions).map(([version, { status }]) => `${version} is ${status}`),
    `taken in: ${[...desktop.staged.keys()].sort().join()}`,
    `stands by: ${desktop.standby?.version ?? 'nothing'}`,
    ...[...content.releases.values()].map(({ id, deployment, health, surfaces }) =>
      deployment === 'rolled-back'
        ? `${id} ${deployment} ${health}`
        : `${id} ${deployment} ${health} ${JSON.stringify(surfaces)}`,
    ),
    ...content.quarantine.map(
      ({ commit, release, fixedBy }) => `${release} ${commit} ${fixedBy ?? 'quarantined'}`,
    ),
    ...content.signals.map(({ run, name }) => `run ${run} has ${name}`),
    ...content.incidents.map(({ run, release }) => `incident of run ${run}: ${release}`),
    ...messages.map(({ key }) => `told: ${key}`),
    `drafts: ${[...drafts.keys()].join()}`,
    `runs: ${runsOf(disk.content.runs)}`,
  ];
}

/** Which runs there were, and how each ended. */
export function runsOf(runs: World['disk']['content']['runs']): string {
  return runs.map(({ summary }) => `${summary.kind} ${summary.status}`).join(', ');
}

/** What is in one and not in the other. */
export function differenceOf(expected: readonly string[], seen: readonly string[]): readonly string[] {
  return [
    ...expected.filter((line) => !seen.includes(line)).map((line) => `missing: ${line}`),
    ...seen.filter((line) => !expected.includes(line)).map((line) => `instead: ${line}`),
  ];
}
