import { type ErrorEntry, exitCodes } from './errors.ts';

/**
 * Every error a person can be shown, by slug, in alphabetical order. `title` is what it means in general,
 * `next` what to do, `explain` the page of `unship explain SLUG`. What was observed comes with each error.
 */
export const errorCatalogue: { readonly [slug: string]: ErrorEntry } = {
  'already-there': {
    exit: exitCodes.refused,
    title: 'what you ask for is what is there',
    next: 'unship status',
    explain: 'Nothing was done. A second rollback without a name does not go further back by accident.',
  },
  'artifact-invalid': {
    exit: exitCodes.refused,
    title: 'a desktop artifact is missing, empty or not what its description says',
    next: 'build the artifacts again, then repeat the command',
    explain:
      'The hash, size, name or version of a file does not match latest.yml or package.json. Nothing was published: a client that downloaded it would refuse it or loop.',
  },
  'backup-invalid': {
    exit: exitCodes.refused,
    title: 'a backup is missing, damaged or does not verify',
    next: 'unship backups, and take a new one with unship backup',
    explain:
      'A backup is opened, integrity-checked and hashed when it is taken and again before it is used. This one failed, so nothing that depends on it was begun.',
  },
  blocked: {
    exit: exitCodes.failed,
    title: 'a step of the rollback failed after its retries; the run waits',
    next: 'mend the cause that the step names, then unship resume',
    explain:
      'A rollback is never undone by itself: that could bring the bad release back. It keeps what is done, says what is not, and goes on with unship resume, or a new unship plan.',
  },
  'build-failed': {
    exit: exitCodes.failed,
    title: 'the install or build command of the release failed',
    next: 'read the log that is named, mend the build, release again',
    explain: 'Building happens in a folder of its own. What serves was not touched.',
  },
  'build-not-enclosed': {
    exit: exitCodes.refused,
    title: 'this machine can not keep a build apart, and the commit is in no protected branch',
    next: 'bring the commit into a protected branch (`protectedBranches`), or allow user namespaces on this machine',
    explain:
      'A build runs code of the commit. In namespaces of its own it sees its checkout and nothing of yours. Where the machine has none, as in most containers, it could read your keys: then only commits that went into a protected branch are built.',
  },
  busy: {
    exit: exitCodes.busy,
    title: 'another run holds this environment',
    next: 'wait for it, or look at it with unship status',
    explain:
      'One run at a time per environment. The lease ends by itself: at once when its process is dead on this host, else 10 seconds after its last sign of life. A rollback goes before a release by itself; --take-over takes the lease from an owner that lives but hangs.',
  },
  cancelled: {
    exit: exitCodes.failed,
    title: 'the run was cancelled and what it had done was undone',
    next: 'unship show the run to see every step',
    explain:
      'Cancelling is cooperative: the step under way ends, then everything is undone in reverse order.',
  },
  'capture-impossible': {
    exit: exitCodes.refused,
    title: 'the server does not let later writes be captured',
    next: 'set wal_level = logical on PostgreSQL 14 or newer, restart the server, and give the role REPLICATION',
    explain:
      'Going back by restoring a backup keeps later writes only if they can be read from the write-ahead log. Without that, writes since the backup would be lost. On Amazon RDS the setting is rds.logical_replication = 1. Nothing was changed.',
  },
  'capture-lost': {
    exit: exitCodes.refused,
    title: 'what was written since the backup can no longer be read in full',
    next: 'unship plan, for another way back',
    explain:
      'The server keeps its log for a replication slot only up to max_slot_wal_keep_size, and tables that are altered behind the back of a migration can not be followed. The live database was not touched. Nothing is claimed that is not known: another way back is chosen, and what it would lose is listed first.',
  },
  'channel-failed': {
    exit: exitCodes.failed,
    title: 'a message could not be delivered',
    next: 'tell people another way; the text is in the incident draft',
    explain: 'A channel that is down never delays or fails a rollback.',
  },
  'command-failed': {
    exit: exitCodes.failed,
    title: 'a command of the configuration failed',
    next: 'read its output, mend it, repeat',
    explain: 'The program ended with an exit code other than 0, or could not be started.',
  },
  'commit-gone': {
    exit: exitCodes.refused,
    title: 'the commit is not in the repository',
    next: 'git fetch it, or choose another release with unship releases',
    explain: 'A shallow or pruned clone may lack it. Nothing was changed.',
  },
  'config-invalid': {
    exit: exitCodes.usage,
    title: 'the configuration has an error',
    next: 'mend the line that is named',
    explain:
      'Nothing was done. A rollback does not need the file: it falls back to the configuration stored with the last release.',
  },
  'config-missing': {
    exit: exitCodes.usage,
    title: 'there is no configuration here',
    next: 'unship init',
    explain: 'unship.config.ts, .mjs or .json is looked for in this folder and the ones above.',
  },
  'confirmation-needed': {
    exit: exitCodes.refused,
    title: 'this needs a yes, and there is nobody to ask',
    next: 'repeat it on a terminal, or with --yes',
    explain:
      'Without a terminal, or with --no-input, nothing is asked: what needs a confirmation is refused. --yes gives it beforehand, but never consents to losing data.',
  },
  'consent-missing': {
    exit: exitCodes.refused,
    title: 'this would lose data, and nobody has consented to it',
    next: 'read unship plan --details, then repeat with --accept-data-loss=HASH',
    explain:
      'The hash is the one of the plan whose loss was shown; --yes alone never consents to loss. The rows are listed per table.',
  },
  'cutover-not-reached': {
    exit: exitCodes.failed,
    title: 'the databases could not be switched within the time limit; the live one serves as before',
    next: 'end what is named, then unship resume',
    explain:
      'For the switch every session of the live database is ended and what it committed last is carried over. That took longer than writers may be kept waiting, so the database was opened again. Nothing is lost: the restored copy goes on following it.',
  },
  'data-changed-rows': {
    exit: exitCodes.refused,
    title: 'values the migration overwrote are kept nowhere',
    next: 'unship plan --details',
    explain: 'Going back would leave the rewritten values in place.',
  },
  'database-corrupt': {
    exit: exitCodes.refused,
    title: 'the file is no database, or it is damaged',
    next: 'check `file` in the configuration; for a damaged one, see unship explain database-corrupt',
    explain:
      'SQLite itself could not read it. Nothing was changed. A restore needs a database that can be read, because it first keeps what is there. To replace a damaged one by hand: stop what uses it, move it away together with its -wal and -shm, copy the newest backup (unship backups says where it lies) to its place, and run `PRAGMA journal_mode = WAL` on it once. Keep the damaged file: the sqlite3 program can often .recover rows from it.',
  },
  'database-denied': {
    exit: exitCodes.refused,
    title: 'the database can not be opened or written to',
    next: 'let the user that runs unship read and write the file and its folder',
    explain:
      'The file, its folder or its disk is read-only to this user. SQLite writes its log beside the file, so the folder counts as well. What had begun was taken back.',
  },
  'database-locked': {
    exit: exitCodes.failed,
    title: 'another process holds the database',
    next: 'end the long transaction that is named, then repeat',
    explain:
      'The lock was asked for with a time limit, so that the application is not blocked. Nothing changed.',
  },
  'database-missing': {
    exit: exitCodes.usage,
    title: 'the database file is not there',
    next: 'check `file` in the configuration',
    explain: 'A file that was never there is not made by accident: an empty database would look healthy.',
  },
  'database-not-wal': {
    exit: exitCodes.refused,
    title: 'the database does not use a write-ahead log',
    next: 'run `PRAGMA journal_mode = WAL` on it once; the file remembers it',
    explain:
      'Without the log, a backup would stop every writer for as long as it takes, and a restore every reader. It is one setting of the file and needs no change in the application.',
  },
  'database-tool-failed': {
    exit: exitCodes.failed,
    title: 'pg_dump or pg_restore ended with an error',
    next: 'mend what it names, then repeat; unship doctor names rights that are missing',
    explain:
      'A dump that is not whole is never used, and a restore happens beside the live database: that one is as it was.',
  },
  'database-tools-missing': {
    exit: exitCodes.refused,
    title: 'pg_dump and pg_restore are missing, or older than the server',
    next: "install the client programs of the server's version on this machine",
    explain:
      'Backups are taken and restored with the programs of PostgreSQL itself. One that is older than the server refuses it; a newer one is fine. Nothing was changed.',
  },
  'database-unreachable': {
    exit: exitCodes.failed,
    title: 'the database server does not answer',
    next: 'see whether the server runs and the address, the user and the password are right, then repeat',
    explain:
      'No session could be opened. What was under way is told as unknown until the server answers again.',
  },
  declined: {
    exit: exitCodes.refused,
    title: 'you said no; nothing was changed',
    next: '',
    explain: 'Enter, Escape and the end of input change nothing.',
  },
  'disk-full': {
    exit: exitCodes.refused,
    title: 'there is not enough free disk space',
    next: 'free some space, then repeat',
    explain: 'Space is checked before the work begins, with room for the backup and the build.',
  },
  'down-unproven': {
    exit: exitCodes.refused,
    title: 'no way back of this migration could be proven',
    next: 'write its down migration by hand, or mark it `-- unship: restore-only`',
    explain:
      'A down that is written for you is shown only when up, down and up again lead there and back on an empty side database. This one did not; the message names what differs.',
  },
  'feed-mismatch': {
    exit: exitCodes.failed,
    title: 'clients are not offered what they should be',
    next: 'check that the host serves the feed folder, then unship resume',
    explain: 'Each platform file was read as a client reads it.',
  },
  'fenced-out': {
    exit: exitCodes.busy,
    title: 'this run is no longer the holder of the environment',
    next: 'unship status shows who is',
    explain: 'A newer run took over. What this one tried afterwards was refused and changed nothing.',
  },
  'fill-missing': {
    exit: exitCodes.refused,
    title: 'new rows lack a required value that the migration had dropped',
    next: 'name a value for the column that is told under `fills` in the configuration, then unship resume',
    explain:
      'The migration dropped a required column without a default. Rows that were written since have no value for it, and it is not made up. With a fill it is given to those rows, and the report counts them.',
  },
  'gateway-unreachable': {
    exit: exitCodes.failed,
    title: 'the gateway does not answer',
    next: 'unship doctor; it is started again by the next release or rollback',
    explain: 'The gateway is the process that passes requests to the live release.',
  },
  'git-failed': {
    exit: exitCodes.failed,
    title: 'git could not read the repository',
    next: 'run git status in the folder that is named, and mend what it says',
    explain: 'Releases are made from a git repository. It was only read; nothing was changed.',
  },
  'guard-inconclusive': {
    exit: exitCodes.failed,
    title: 'the watch could not tell',
    next: 'look at the checks with unship guard, then decide',
    explain: 'The checks could not be asked. No data is not healthy.',
  },
  'guard-unhealthy': {
    exit: exitCodes.failed,
    title: 'the release failed its watch',
    next: 'unship plan',
    explain:
      'The checks failed several times in a row. By policy `page` the release stays until a person decides.',
  },
  'history-cut-off': {
    exit: exitCodes.refused,
    title: 'this clone does not hold the history that must be looked at',
    next: 'git fetch --unshallow, then repeat; in CI, check out the whole history',
    explain:
      'Whether a release contains a quarantined commit, or lacks a security fix, is a question about its ancestors, and in a shallow clone they are missing. It is not guessed at: nothing was done. Ways back are open: they need no history.',
  },
  'hold-lost': {
    exit: exitCodes.failed,
    title: 'requests are no longer held back',
    next: 'unship resume holds them again',
    explain:
      'Old and new side do not fit each other half-way, so nothing is changed while requests pass. The gateway was asked after the hold.',
  },
  'hold-unsupported': {
    exit: exitCodes.refused,
    title: 'requests cannot be held back on this surface',
    next: 'use the gateway, or plan without a maintenance window',
    explain: 'Only a surface whose traffic goes through the gateway can let requests wait.',
  },
  internal: {
    exit: exitCodes.failed,
    title: 'a defect in unship',
    next: 'repeat with --debug and report what it prints',
    explain: 'What was done is in the journal: unship runs, unship show.',
  },
  'journal-corrupt': {
    exit: exitCodes.paused,
    title: 'the journal does not verify',
    next: 'unship rollback, which does not need it; or restore the state from a copy',
    explain:
      'The entries of a run are chained by hash; one was altered or lost. The run is not continued on a guess. A new plan looks at what is really there, so a rollback works without it.',
  },
  'loss-exceeds-consent': {
    exit: exitCodes.refused,
    title: 'more would be lost now than was agreed to',
    next: 'unship plan, and consent to the new figure',
    explain: 'The consent names a ceiling. Rows were added since. Nothing was lost.',
  },
  'migration-failed': {
    exit: exitCodes.failed,
    title: 'a migration failed',
    next: 'going back: unship plan shows the other strategies; releasing: mend the migration and release again',
    explain:
      'It ran in a transaction, or on an empty copy of the schema: nothing of it remains. The message names the file and the line. If you are on the way back, do not mend it first: unship plan lists every strategy, with what each one loses. --strategy keep-schema leaves the schema as it is, if the older code runs on it; --strategy restore puts the backup from before the migration back, with your consent to what was written since.',
  },
  'migration-forbidden': {
    exit: exitCodes.refused,
    title: 'a migration contains a statement that migrations may not have',
    next: 'take the statement that is named out of the migration',
    explain:
      'ATTACH, extensions and settings of the database file reach beyond the schema, and what can not run inside a transaction could not be taken back. Nothing was changed.',
  },
  'migration-invalid': {
    exit: exitCodes.usage,
    title: 'a file in the migrations folder can not be read as a migration',
    next: 'mend the file that is named',
    explain:
      'dbmate: one `-- migrate:up` and one `-- migrate:down` in a file. up-down: NAME.up.sql and NAME.down.sql. File names begin with the version.',
  },
  'name-invalid': {
    exit: exitCodes.usage,
    title: 'this is not a name',
    next: 'use letters, digits, dot, dash and underscore; start with a letter or digit; at most 100',
    explain: 'Names become files and folders.',
  },
  'no-down-migration': {
    exit: exitCodes.refused,
    title: 'a migration has no way back',
    next: 'write its down migration, or mark it `-- unship: restore-only`',
    explain:
      'No release goes out whose way back is missing. On PostgreSQL unship migrations write-down writes one for you to review.',
  },
  'no-target': {
    exit: exitCodes.refused,
    title: 'there is no release to go back to',
    next: 'unship releases; name one with unship rollback rN',
    explain: 'Last good means proven healthy and not quarantined, not merely previous.',
  },
  'not-live': {
    exit: exitCodes.refused,
    title: 'nothing is released here yet',
    next: 'unship release, or unship init to adopt what is live',
    explain: 'There is no live release to act on.',
  },
  'not-utf8': {
    exit: exitCodes.refused,
    title: 'a file of the commit is not UTF-8 text',
    next: 'save the file as UTF-8, commit it, then repeat',
    explain:
      'Read in another encoding than it was written in, a migration would put other characters into the database than its author meant. It is not guessed at.',
  },
  'other-host': {
    exit: exitCodes.refused,
    title: 'a surface is on another machine',
    next: 'run it on the machine that is named; or, where the surface has moved here, repeat it with --take-over',
    explain:
      'The history is shared; builds, files and processes of a surface are on one machine, the one of its first run. From another one nothing of it would be found, and what was made anew there would be recorded as live. Nothing was done. Looking (unship status, runs, show, releases) works everywhere.',
  },
  'past-no-return': {
    exit: exitCodes.refused,
    title: 'the run is past its point of no return',
    next: 'let it end, then unship undo',
    explain:
      'Clients may already have what was published. Or the run took over from one that was half-way: undone, it would leave the application there, and nobody would go on from it.',
  },
  paused: {
    exit: exitCodes.paused,
    title: 'the run is paused; what was done stays done',
    next: 'unship resume',
    explain: 'It goes on where it stopped, in this or another process.',
  },
  'plan-stale': {
    exit: exitCodes.refused,
    title: 'the plan no longer fits what is there',
    next: 'unship plan, and run the new one',
    explain: 'Something that identifies the state has changed since it was shown. Nothing was done.',
  },
  'port-taken': {
    exit: exitCodes.refused,
    title: 'another process listens on the port',
    next: 'end it, or configure another port',
    explain: 'What serves was not touched.',
  },
  quarantined: {
    exit: exitCodes.refused,
    title: 'the release contains a quarantined commit and not its fix',
    next: 'unship quarantine lift --fixed-by SHA COMMIT',
    explain: 'It was rolled back before. It must not come back by itself with the next deploy.',
  },
  'rehearsal-failed': {
    exit: exitCodes.refused,
    title: 'the way back did not work on a copy',
    next: 'read what failed, mend it, release again',
    explain: 'Releasing and rolling back was tried on a copy first. Nothing live was changed.',
  },
  'schema-mismatch': {
    exit: exitCodes.failed,
    title: 'the live schema is not the expected one',
    next: 'unship plan',
    explain: 'The schema was read back from the database itself.',
  },
  'secret-missing': {
    exit: exitCodes.usage,
    title: 'a secret is not set',
    next: 'set the environment variable that is named',
    explain: 'Secrets are read from the environment when they are needed, at least 8 characters.',
  },
  'security-regression': {
    exit: exitCodes.refused,
    title: 'this would bring a known weakness back',
    next: 'fix it forward; or repeat it with --accept-security-regression',
    explain:
      'A release in between was marked as a security fix, with unship release --security-fix or with a line `Security-fix: …` at the end of a commit message. --yes never consents to that, and no policy does.',
  },
  'source-filtered': {
    exit: exitCodes.refused,
    title: 'files of the commit are kept outside git',
    next: 'commit the files themselves, or fetch them in the build command',
    explain:
      'Git filters (Git LFS, git-crypt) run programs that the repository names, so none is run. A release made without them would hold placeholders.',
  },
  'state-corrupt': {
    exit: exitCodes.refused,
    title: 'the state can not be read',
    next: 'put the state folder back from a copy; without one, move state.db away, with its -wal and -shm, then unship init --adopt COMMIT with the commit that is live',
    explain:
      'state.db in the state folder holds the history that rollbacks are made from. SQLite could not read it, so nothing was done: a guess could bring the wrong release back. Nothing of it was changed.',
  },
  'state-failed': {
    exit: exitCodes.failed,
    title: 'the state can not be read or written',
    next: 'mend the disk or the rights of the state folder, then unship resume',
    explain:
      'The disk, or the file system, refused what was asked of it. Every commit before it is synced; a run that was under way goes on with unship resume.',
  },
  'state-rights': {
    exit: exitCodes.usage,
    title: 'the role of the state lacks a right',
    next: 'run the statement that is named as a role that may, then repeat',
    explain:
      'State in PostgreSQL lies in a schema of its own for each application and environment. The role in the address makes it, and reads and writes its tables; more it needs not. unship doctor names every right that is missing.',
  },
  'state-unreachable': {
    exit: exitCodes.failed,
    title: 'the server of the state does not answer',
    next: 'see whether the server runs and the address, the user and the password are right, then unship resume; without a run to resume, repeat the command',
    explain:
      'The history is in a PostgreSQL database, and no rollback is made without it: it says what was live, and who is at work. A server that goes away is waited for, for 10 seconds. Every commit that it has answered is kept. Where the connection ended while a commit was on its way, nobody knows whether it was made: a run that was under way has ended there, and unship resume goes on from what the state says.',
  },
  'state-unsafe': {
    exit: exitCodes.usage,
    title: 'the state folder can not be made, or is not private',
    next: 'chmod 700 it, and make it yours',
    explain: 'It holds backups and what rollbacks are made from.',
  },
  'state-unsuitable': {
    exit: exitCodes.usage,
    title: 'the state can not be kept there',
    next: 'give the state a database of its own on a server that is written to, and the address of that server',
    explain:
      'It is to be a PostgreSQL database with the encoding UTF8, reached without a pooler that mixes sessions, and another one than the database that is rolled back: a restore puts that one back to an earlier moment, and the history with it.',
  },
  'state-version': {
    exit: exitCodes.usage,
    title: 'the state was written by a newer unship',
    next: 'use that version or a newer one',
    explain: 'Older code does not guess at newer state.',
  },
  'step-timeout': {
    exit: exitCodes.failed,
    title: 'a step took longer than its limit',
    next: 'unship resume tries it again',
    explain: 'Its effect may have happened: the next attempt looks first.',
  },
  'still-held': {
    exit: exitCodes.failed,
    title: 'requests still wait',
    next: 'unship resume lets them go on',
    explain:
      'An earlier run held requests back and did not come to let them go. The gateway lets them go by itself soon after the process of that run has ended.',
  },
  'still-running': {
    exit: exitCodes.failed,
    title: 'a process that should have ended still runs',
    next: 'unship show the run; end the process by hand if it stays',
    explain: 'It gets no requests. It was asked to end, and then made to.',
  },
  'still-serving': {
    exit: exitCodes.refused,
    title: 'the release still serves requests',
    next: 'switch to another release first',
    explain: 'What serves is not stopped or removed.',
  },
  'surfaces-inseparable': {
    exit: exitCodes.refused,
    title: 'these surfaces only work together',
    next: 'repeat it without --only, or name the surface that is missing as well',
    explain:
      'Code would have met a schema that it does not run on: what one surface needs, another one would have left behind. Nothing was done.',
  },
  'target-gone': {
    exit: exitCodes.refused,
    title: 'the release can no longer be brought back',
    next: 'unship releases, and choose another',
    explain: 'Its build and its commit are gone, or its database state has no backup.',
  },
  'target-unhealthy': {
    exit: exitCodes.refused,
    title: 'the release to go to fails its own health check',
    next: 'unship plan with another release',
    explain: 'It was started beside the live one and asked. Nothing was switched.',
  },
  'unfinished-run': {
    exit: exitCodes.busy,
    title: 'an earlier run has not ended',
    next: 'unship resume, or unship cancel',
    explain: 'It was paused, is blocked, or its process died. A rollback goes before it; a release does not.',
  },
  'unknown-command': {
    exit: exitCodes.usage,
    title: 'there is no such command or option',
    next: 'unship --help',
    explain: '',
  },
  'unknown-release': {
    exit: exitCodes.usage,
    title: 'there is no such release',
    next: 'unship releases',
    explain: 'Releases are named r1, r2, … per environment.',
  },
  'unknown-run': {
    exit: exitCodes.usage,
    title: 'there is no such run',
    next: 'unship runs',
    explain: '',
  },
  'unknown-surface': {
    exit: exitCodes.usage,
    title: 'there is no such surface',
    next: 'unship status lists them',
    explain: 'Surfaces are named in the configuration.',
  },
  'usage-invalid': {
    exit: exitCodes.usage,
    title: 'the command was not understood',
    next: 'unship help',
    explain: 'Everything that was typed is checked before anything is read or done. Nothing was done.',
  },
  'wrong-release-live': {
    exit: exitCodes.failed,
    title: 'the live address answers with another release',
    next: 'check what stands in front of the gateway, then unship resume',
    explain: 'The address was asked from outside after the switch.',
  },
  'wrong-version': {
    exit: exitCodes.paused,
    title: 'the run was begun by another version of unship',
    next: 'resume it with that version',
    explain: 'A run is finished by the code that began it, or left for a person.',
  },
};
