import type { Action } from '@supabase/pg-delta/plan';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import { fileOf, type Migration } from '../../domain/migrations/migration-files.ts';
import type { WrittenDown, WrittenStatement } from '../../domain/report.ts';
import { type Connection, urlOf } from './connection.ts';
import { loadParser, type Parse, type ParsedStatement } from './parse.ts';
import { readKnown } from './statements/known.ts';
import { judgeStatements } from './statements.ts';
import { lossless, markOf } from './write-down/marks.ts';
import { type Partitions, readPartitions, undoPartitions } from './write-down/partitions.ts';
import { misnamed, type Names, readNames, undoRenames, vanished } from './write-down/renames.ts';
import { columnOrder, differences, fingerprintOf, readShape, type Shape } from './write-down/shape.ts';
import { reachesBeyond, runScript, SideDatabases } from './write-down/side.ts';

/** The schema at one moment: as text to compare, by identity, and in what order its columns stand. */
interface Snapshot {
  readonly shape: Shape;
  readonly names: Names;
  readonly partitions: Partitions;
  readonly order: ReadonlyMap<string, string>;
}

type Facts = Awaited<ReturnType<typeof import('@supabase/pg-delta/extract')['extract']>>;

interface Script {
  readonly file: string;
  readonly statements: readonly ParsedStatement[];
}

interface Draft {
  readonly statements: readonly WrittenStatement[];
  readonly inTransaction: boolean;
  readonly notCovered: readonly string[];
}

/** Everything that one call works with. */
interface Work {
  readonly parse: Parse;
  readonly sides: SideDatabases;
  readonly up: Script;
  readonly was: Snapshot;
  readonly is: Snapshot;
  readonly factsBefore: Facts;
}

/**
 * Writes the way back of a migration that has none, from what its up changes on an empty database beside the live one.
 * `earlier` are the migrations before it, oldest first. Throws `down-unproven` unless up, down and up again lead there
 * and back; nothing but side databases is touched, and none is left.
 */
export async function writeDown(
  url: string,
  migration: Migration,
  earlier: readonly Migration[],
  signal?: AbortSignal,
): Promise<WrittenDown> {
  const parse = await loadParser();
  const scriptOf = (one: Migration): Script => {
    const file = fileOf(one, 'up');
    return { file, statements: parse(file, one.up) };
  };
  const up = scriptOf(migration);
  const before = earlier.map(scriptOf);
  await using sides = await SideDatabases.open(url, signal);
  const first = await sides.make();
  const work: Work = { parse, sides, up, ...(await upOn(sides, first, before, up)) };
  const proving = await sides.make(first);
  const draft = await draftOn(work, first);
  const order = await prove(work, proving, draft);
  const changed = judgeStatements(up.statements).flatMap((verdict) => [...verdict.changesRows.values()]);
  const beyond = up.statements.filter(reachesBeyond);
  return {
    version: migration.version,
    name: migration.name,
    statements: draft.statements,
    inTransaction: draft.inTransaction,
    rowsNotTakenBack: [...new Set(changed)],
    columnOrder: order,
    notCovered: [...draft.notCovered, ...beyond.map(({ text }) => `it reaches beyond the database: ${text}`)],
    fingerprint: fingerprintOf(work.was.shape),
  };
}

async function upOn(
  sides: SideDatabases,
  name: string,
  before: readonly Script[],
  up: Script,
): Promise<Pick<Work, 'was' | 'is' | 'factsBefore'>> {
  await using connection = await sides.connect(name);
  for (const { file, statements } of before) await runScript(connection, file, statements);
  const was = await snapshot(connection);
  const factsBefore = await factsOf(sides, name);
  await runScript(connection, up.file, up.statements);
  return { was, factsBefore, is: await snapshot(connection) };
}

async function snapshot(connection: Connection): Promise<Snapshot> {
  return {
    shape: await readShape(connection),
    names: await readNames(connection),
    partitions: await readPartitions(connection),
    order: await columnOrder(connection),
  };
}

async function factsOf(sides: SideDatabases, name: string): Promise<Facts> {
  const { extract } = await import('@supabase/pg-delta/extract');
  const { default: pg } = await import('pg');
  const connectionString = urlOf(sides.url, name);
  const pool = new pg.Pool({ connectionString, max: 2, application_name: 'unship: write-down' });
  pool.on('error', () => {});
  try {
    return await extract(pool);
  } finally {
    await pool.end();
  }
}

function keyOf(id: Action['produces'][number]): string {
  return JSON.stringify(Object.entries(id).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What the differ says of objects that it does not read. */
const unseen: ReadonlySet<string> = new Set(['unmodeled_kind', 'unresolved_security_label']);

/** Names first, by identity: a differ sees a renamed column as one that goes and one that comes, and values would go. */
async function draftOn({ parse, sides, was, is, factsBefore, up }: Work, name: string): Promise<Draft> {
  await using connection = await sides.connect(name);
  const renames = undoRenames(was.names, is.names);
  for (const sql of renames) await run(connection, sql, up.file);
  const { detach, attach } = undoPartitions(
    was.partitions,
    await readPartitions(connection),
    (id) => was.names.has(`c${id}`) && is.names.has(`c${id}`),
  );
  for (const sql of [...detach, ...attach]) await run(connection, sql, up.file);
  const known = await readKnown(connection);
  const { plan } = await import('@supabase/pg-delta/plan');
  const after = await factsOf(sides, name);
  const roles = await connection.rows<{ name: string; own: boolean }>(
    'SELECT rolname AS name, rolname = current_user AS own FROM pg_roles',
  );
  const own = roles.find((role) => role.own)?.name;
  const { actions, preamble } = plan(after.factBase, factsBefore.factBase, {
    // Roles are the server's: they are there, and nothing of them changes.
    scope: 'database',
    assumedRoles: roles.map((role) => role.name),
    ...(own === undefined ? {} : { defaultOwner: own }),
  });
  const unmodelled = [...after.diagnostics, ...factsBefore.diagnostics].flatMap(({ code, message }) =>
    unseen.has(code) ? message : [],
  );
  const inTransaction = actions.every(({ transactionality }) => transactionality === 'transactional');
  const made = new Set(actions.flatMap(({ produces }) => produces.map((id) => keyOf(id))));
  // Whoever makes an object has every right to it.
  const isOwnRight = ({ sql, consumes }: Action): boolean =>
    sql.startsWith('GRANT ') &&
    consumes.some((id) => id.kind === 'role' && id.name === own) &&
    consumes.every((id) => (id.kind === 'role' ? id.name === own : made.has(keyOf(id))));
  return {
    statements: [
      ...[...renames, ...detach].map((sql) => ({ sql, ...lossless })),
      ...attach.map((sql) => ({ sql, ...lossless, stopsWhere: 'a row lies outside of the bounds' })),
      // Their bodies may name what comes after them.
      ...preamble
        .filter((setting) => setting.name === 'check_function_bodies')
        .map(({ value }) => ({
          sql: `SET ${inTransaction ? 'LOCAL ' : ''}check_function_bodies = ${value}`,
          ...lossless,
        })),
      ...actions
        .filter((action) => !isOwnRight(action))
        .map((action) => ({ sql: action.sql, ...markOf(parse, action, known) })),
    ],
    inTransaction,
    notCovered: [...new Set(unmodelled)],
  };
}

function unproven(file: string, happened: string, cause?: unknown): UnshipError {
  return new UnshipError('down-unproven', {
    happened: `${file}: ${happened}`,
    done: 'it was tried on an empty side database, which is gone again; yours was not touched',
    ...(cause === undefined ? {} : { cause }),
  });
}

async function run(connection: Connection, sql: string, file: string): Promise<void> {
  try {
    await connection.run(sql);
  } catch (error) {
    throw unproven(file, `the way back fails at \`${sql}\`: ${messageOf(error)}`, error);
  }
}

/** Up has been run here: down has to lead to what was, and up again to what is. Gives tables whose columns moved. */
async function prove({ sides, up, was, is }: Work, name: string, draft: Draft): Promise<readonly string[]> {
  await using connection = await sides.connect(name);
  if (draft.inTransaction) await connection.run('BEGIN');
  for (const { sql } of draft.statements) await run(connection, sql, up.file);
  if (draft.inTransaction) await connection.run('COMMIT');
  const back = await snapshot(connection);
  const left = differences(was.shape, back.shape);
  if (left.length > 0) throw unproven(up.file, `after up and down ${left.slice(0, 5).join('; ')}`);
  const names = misnamed(was.names, is.names, back.names);
  if (names.length > 0) throw unproven(up.file, `after up and down ${names.slice(0, 5).join('; ')}`);
  const gone = vanished(was.names, is.names, back.names);
  if (gone.length > 0 && draft.statements.every(({ isLossless }) => isLossless)) {
    throw unproven(
      up.file,
      `the values of ${gone.slice(0, 5).join(', ')} would go, and no statement says so`,
    );
  }
  await runScript(connection, up.file, up.statements).catch((error: unknown) => {
    throw unproven(
      up.file,
      `after up and down the up fails: ${isUnshipError(error) ? error.details.happened : messageOf(error)}`,
      error,
    );
  });
  const again = differences(is.shape, await readShape(connection));
  if (again.length > 0)
    throw unproven(up.file, `after up, down and up again ${again.slice(0, 5).join('; ')}`);
  return [...was.order].flatMap(([table, columns]) => {
    const now = back.order.get(table);
    return now === undefined || now === columns ? [] : [`${table}: ${now}`];
  });
}
