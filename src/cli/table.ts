import type { CommandSpecification, OptionSpecification } from './specification.ts';

const only: OptionSpecification = {
  name: 'only',
  value: 'S,...',
  kind: 'surfaces',
  summary: 'only these surfaces: web,desktop',
};
const reason: OptionSpecification = {
  name: 'reason',
  short: 'm',
  value: 'TEXT',
  summary: 'why; stands in the timeline and the post-mortem',
};
const details: OptionSpecification = { name: 'details', summary: 'every step, every table' };
const planHash: OptionSpecification = {
  name: 'plan',
  value: 'HASH',
  summary: 'run exactly the plan that was shown, else refuse',
};
const acceptLoss: OptionSpecification = {
  name: 'accept-data-loss',
  value: 'HASH',
  summary: 'consent to the loss that this plan showed',
};
const takeOver: OptionSpecification = {
  name: 'take-over',
  summary: 'take the environment from an owner that lives but hangs',
};
const limit: OptionSpecification = { name: 'limit', value: 'N', summary: 'at most so many; default 20' };
const strategy: OptionSpecification = {
  name: 'strategy',
  value: 'NAME',
  kind: ['keep-schema', 'migrate-down', 'restore-with-salvage', 'restore'],
  summary: 'how the database goes back; default the first that is possible',
};
const to: OptionSpecification = {
  name: 'to',
  value: 'R',
  kind: 'releases',
  summary: 'the same as the argument R',
};
const surface: OptionSpecification = {
  name: 'surface',
  value: 'S',
  kind: 'surfaces',
  summary: 'which one, where there are several',
};
const execution: readonly OptionSpecification[] = [planHash, acceptLoss, takeOver, reason, details];

/**
 * Every command there is. Parser, help, man page and completion are made from this and from nothing else, so
 * none of them can disagree. In an emergency first.
 */
export const commands: readonly CommandSpecification[] = [
  {
    name: 'status',
    group: 'In an emergency',
    summary: 'what is live, how it does, and the way back',
    options: [{ name: 'watch', summary: 'look again every 2 seconds' }],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'plan',
    group: 'In an emergency',
    summary: 'show how a rollback would go; changes nothing',
    details: ['Without R it goes back to the last good release: proven healthy, not merely previous.'],
    arguments: [{ name: 'R', kind: 'releases' }],
    options: [to, only, strategy, details],
    examples: [
      ['unship plan', 'to the last good release'],
      ['unship plan r40 --details', 'to r40, with every step and table'],
    ],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/plan.ts'),
  },
  {
    name: 'rollback',
    group: 'In an emergency',
    summary: 'take the live release back',
    details: [
      'Without R it goes back to the last good release. The plan is shown and a confirmation asked for. --yes confirms, but never consents to losing data: that takes --accept-data-loss with the hash of the plan whose loss was shown.',
      'Ctrl-C pauses safely; unship resume goes on.',
    ],
    arguments: [{ name: 'R', kind: 'releases' }],
    options: [to, only, strategy, ...execution],
    examples: [
      ['unship rollback', 'to the last good release'],
      ['unship rollback --plan 7f3a19', 'exactly the plan that was shown'],
      ['unship rollback r40 --only web -m "500s on /entries"', 'only the web surface'],
    ],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/rollback.ts'),
  },
  {
    name: 'undo',
    group: 'In an emergency',
    summary: 'take a finished run back',
    details: ['Without RUN the last finished one. For a run that is under way, use cancel.'],
    arguments: [{ name: 'RUN', kind: 'runs' }],
    options: execution,
    examples: [['unship undo 58', 'brings back what run 58 rolled back']],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/undo.ts'),
  },
  {
    name: 'resume',
    group: 'In an emergency',
    summary: 'go on with a run that is paused, blocked or waiting',
    arguments: [{ name: 'RUN', kind: 'runs' }],
    options: [{ name: 'due', summary: 'whatever is due, for cron where no agent runs' }, takeOver],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/resume.ts'),
  },
  {
    name: 'cancel',
    group: 'In an emergency',
    summary: 'end a run and undo what it did',
    details: ['Refused after its point of no return.'],
    arguments: [{ name: 'RUN', kind: 'runs' }],
    options: [takeOver],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/cancel.ts'),
  },
  {
    name: 'approve',
    group: 'In an emergency',
    summary: 'approve a run that waits for it',
    arguments: [{ name: 'RUN', required: true, kind: 'runs' }, { name: 'STEP' }],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/approve.ts'),
  },
  {
    name: 'release',
    group: 'Releasing',
    summary: 'release a commit, once its way back is rehearsed',
    details: [
      'Without REF the commit that is checked out. It is built, and releasing and rolling back is tried on a copy; then a confirmation is asked for.',
    ],
    arguments: [{ name: 'REF' }],
    options: [only, ...execution],
    examples: [
      ['unship release', 'the commit that is checked out'],
      ['unship release --dry-run', 'only the plan'],
    ],
    load: () => import('./commands/release.ts'),
  },
  {
    name: 'release begin',
    group: 'Releasing',
    summary: 'before your own CI deploys: lock, backup, capture',
    arguments: [{ name: 'REF' }],
    options: [only],
    load: () => import('./commands/release-steps.ts').then((all) => all.begin),
  },
  {
    name: 'release finish',
    group: 'Releasing',
    summary: 'after your own CI has deployed: verify, watch, unlock',
    options: [takeOver],
    load: () => import('./commands/release-steps.ts').then((all) => all.finish),
  },
  {
    name: 'release abort',
    group: 'Releasing',
    summary: 'when your own CI has failed: undo and unlock',
    options: [takeOver],
    load: () => import('./commands/release-steps.ts').then((all) => all.abort),
  },
  {
    name: 'rehearse',
    group: 'Releasing',
    summary: 'try a release and its way back on a copy',
    arguments: [{ name: 'REF' }],
    options: [only],
    load: () => import('./commands/rehearse.ts'),
  },
  {
    name: 'guard',
    group: 'Releasing',
    summary: 'watch the live release until there is a verdict',
    options: [{ name: 'once', summary: 'one look at every check' }],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/guard.ts'),
  },
  {
    name: 'quarantine list',
    group: 'Releasing',
    summary: 'commits that must not ship again',
    survivesBrokenConfiguration: true,
    load: () => import('./commands/quarantine.ts').then((all) => all.list),
  },
  {
    name: 'quarantine lift',
    group: 'Releasing',
    summary: 'let a commit ship again, with its fix',
    arguments: [{ name: 'COMMIT', required: true }],
    options: [{ name: 'fixed-by', value: 'SHA', summary: 'the commit that fixes or reverts it' }],
    load: () => import('./commands/quarantine.ts').then((all) => all.lift),
  },
  {
    name: 'doctor',
    group: 'Looking',
    summary: 'is there a way back right now, and what is missing',
    details: ['Exit code 3 when there is none for a surface.'],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'releases',
    group: 'Looking',
    summary: 'the releases, newest first',
    options: [limit],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/releases.ts'),
  },
  {
    name: 'runs',
    group: 'Looking',
    summary: 'what was done, newest first',
    options: [limit],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/runs.ts'),
  },
  {
    name: 'show',
    group: 'Looking',
    summary: 'everything about a release, run, incident or backup',
    arguments: [{ name: 'ID', required: true, kind: 'releases' }],
    examples: [
      ['unship show r42', 'a release'],
      ['unship show 58', 'a run, step by step'],
    ],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/show.ts'),
  },
  {
    name: 'incident list',
    group: 'Looking',
    summary: 'the incidents, newest first',
    options: [limit],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/incident.ts').then((all) => all.list),
  },
  {
    name: 'incident show',
    group: 'Looking',
    summary: 'an incident: timeline and draft of the post-mortem',
    arguments: [{ name: 'ID', required: true }],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/incident.ts').then((all) => all.show),
  },
  {
    name: 'backup',
    group: 'Data and desktop',
    summary: 'take a verified backup of every database now',
    load: () => import('./commands/backup.ts'),
  },
  {
    name: 'backups',
    group: 'Data and desktop',
    summary: 'the backups, newest first',
    survivesBrokenConfiguration: true,
    load: () => import('./commands/backups.ts'),
  },
  {
    name: 'restore',
    group: 'Data and desktop',
    summary: 'put a backup back; what would be lost is shown first',
    arguments: [{ name: 'BACKUP', required: true }],
    options: execution,
    survivesBrokenConfiguration: true,
    load: () => import('./commands/restore.ts'),
  },
  {
    name: 'migrations status',
    group: 'Data and desktop',
    summary: 'which migrations are applied, and which have a way back',
    load: () => import('./commands/migrations.ts').then((all) => all.status),
  },
  {
    name: 'migrations up',
    group: 'Data and desktop',
    summary: 'apply pending migrations, after a backup',
    arguments: [{ name: 'VERSION' }],
    options: [surface, ...execution],
    load: () => import('./commands/migrations.ts').then((all) => all.up),
  },
  {
    name: 'migrations down',
    group: 'Data and desktop',
    summary: 'take migrations back; what they drop is archived',
    details: ['Without VERSION the newest one; with it, all that are newer than it.'],
    arguments: [{ name: 'VERSION' }],
    options: [surface, ...execution],
    load: () => import('./commands/migrations.ts').then((all) => all.down),
  },
  {
    name: 'desktop halt',
    group: 'Data and desktop',
    summary: 'offer a desktop version to nobody new',
    arguments: [{ name: 'VERSION' }],
    options: [surface, ...execution],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/desktop.ts').then((all) => all.halt),
  },
  {
    name: 'desktop pull',
    group: 'Data and desktop',
    summary: 'withdraw a desktop version; the last good one is offered',
    arguments: [{ name: 'VERSION' }],
    options: [surface, ...execution],
    survivesBrokenConfiguration: true,
    load: () => import('./commands/desktop.ts').then((all) => all.pull),
  },
  {
    name: 'desktop standby',
    group: 'Data and desktop',
    summary: 'prepare the last good code under a higher version',
    arguments: [{ name: 'VERSION' }],
    options: [surface],
    load: () => import('./commands/desktop.ts').then((all) => all.standby),
  },
  {
    name: 'init',
    group: 'Setting up',
    summary: 'detect what is here and write unship.config.ts',
    load: () => import('./commands/init.ts'),
  },
  {
    name: 'config',
    group: 'Setting up',
    summary: 'the configuration as it is understood; secrets by name only',
    load: () => import('./commands/config.ts'),
  },
  {
    name: 'agent',
    group: 'Setting up',
    summary: 'run timers and watches until it is ended',
    load: () => import('./commands/agent.ts'),
  },
  {
    name: 'explain',
    group: 'Setting up',
    summary: 'what an error means and what to do; offline',
    arguments: [{ name: 'SLUG', kind: 'slugs' }],
    examples: [['unship explain exit-codes', 'what the exit codes mean']],
    load: () => import('./commands/explain.ts'),
  },
  {
    name: 'complete',
    group: 'Setting up',
    summary: 'print the completion script for a shell',
    arguments: [{ name: 'SHELL', kind: ['bash', 'zsh', 'fish'] }],
    options: [
      { name: 'values', value: 'KIND', summary: 'values of a kind, one a line; what the scripts ask' },
    ],
    examples: [['source <(unship complete bash)', 'in ~/.bashrc']],
    load: () => import('./commands/complete.ts'),
  },
  {
    name: 'help',
    group: 'Setting up',
    summary: 'help for a command',
    arguments: [{ name: 'COMMAND' }, { name: 'SUBCOMMAND' }],
    options: [{ name: 'man', summary: 'the manual page, for man -l' }],
    load: () => import('./commands/help.ts'),
  },
];

/** What a group's first word alone means. */
export const defaultSubcommands: { readonly [word: string]: string } = {
  quarantine: 'quarantine list',
  migrations: 'migrations status',
  incident: 'incident list',
};
