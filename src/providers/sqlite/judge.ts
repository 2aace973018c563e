import type { DatabaseSync } from 'node:sqlite';
import type { ArchivedTable } from './archive.ts';
import { type LoadedArchive, returnTables } from './loaded-archive.ts';
import { qualified, quoteName } from './names.ts';
import { differs, sameKey } from './rows.ts';
import { findTable, type Schema, storedColumns } from './schema.ts';

/**
 * Before the statements of the way back: which values are still the migration's own. `f0…` is 1 where one is,
 * 2 where the application has changed it since, 0 where the migration had left it alone; `w` is 1 when
 * anything that the migration wrote in the row was changed; `gone` when the row is not there.
 */
export function judge(
  database: DatabaseSync,
  schema: Schema,
  loaded: LoadedArchive,
  epoch: string | null,
): void {
  for (const { table, rows, judged, keys } of returnTables(loaded, epoch)) {
    const live = table.after === null ? undefined : findTable(schema, table.after);
    const names = new Set(live === undefined ? [] : storedColumns(live).map((column) => column.name));
    const after = table.key?.after ?? [];
    const recognisable =
      after.length > 0 && (table.key?.rowid === true || after.every((name) => names.has(name)));
    const columns =
      live === undefined
        ? ['0 AS w', '1 AS gone']
        : recognisable
          ? judgements(table, names)
          : ['1 AS w', '0 AS gone', ...table.mapped.map((_, at) => `0 AS f${at}`)];
    const join =
      live !== undefined && recognisable
        ? `LEFT JOIN ${qualified('main', live.name)} AS t ON ${sameKey('t', after, 'g', keys)}`
        : '';
    const select = [...keys.map((key) => `g.${key} AS ${key}`), ...columns].join(', ');
    database.exec(`CREATE TABLE ${judged} AS SELECT ${select} FROM ${rows} AS g ${join}`);
    if (keys.length > 0) {
      const [schemaName, name] = judged.split('.');
      database.exec(`CREATE INDEX ${schemaName}.${name}_key ON ${name} (${keys.join(', ')})`);
    }
  }
}

function judgements(table: ArchivedTable, names: ReadonlySet<string>): readonly string[] {
  const flags = table.mapped.map(([, after], at) => {
    if (!names.has(after)) return '0';
    const edited = differs(`g.a${at}`, `t.${quoteName(after)}`);
    return `CASE WHEN g.d <> 1 OR substr(g.m, ${at + 1}, 1) <> '1' THEN 0 WHEN ${edited} THEN 2 ELSE 1 END`;
  });
  const touched = [
    ...table.added.map((column, at) =>
      names.has(column.name) ? differs(`g.x${at}`, `t.${quoteName(column.name)}`) : '0',
    ),
    ...flags.map((flag) => `(${flag}) = 2`),
  ];
  return [
    `${touched.length === 0 ? '0' : `(${touched.join(' OR ')})`} AS w`,
    `t.${quoteName(table.key?.after[0] ?? '')} IS NULL AS gone`,
    ...flags.map((flag, at) => `${flag} AS f${at}`),
  ];
}
