import type { DatabaseSync } from 'node:sqlite';
import { identifier, tokenize } from '../../domain/migrations/sql-statements.ts';
import { qualified } from './names.ts';
import type { Schema, SchemaObject, Table } from './schema.ts';

/** Triggers would change the values that are given back. Those that keep a search index up to date must run. */
function suspendedTriggers(schema: Schema, table: Table): readonly SchemaObject[] {
  const virtual = new Set(
    [...schema.tables.values()]
      .filter((other) => other.kind === 'virtual')
      .map((other) => other.name.toLowerCase()),
  );
  return schema.objects.filter(
    (object) =>
      object.type === 'trigger' &&
      object.table === table.name &&
      !tokenize(object.sql).some((token) => virtual.has(identifier(token)?.toLowerCase() ?? '')),
  );
}

/** Does `work` while the triggers that would change its values are away. */
export function withoutTriggers<T>(database: DatabaseSync, schema: Schema, table: Table, work: () => T): T {
  const triggers = suspendedTriggers(schema, table);
  for (const trigger of triggers) database.exec(`DROP TRIGGER ${qualified('main', trigger.name)}`);
  const result = work();
  for (const trigger of triggers) database.exec(trigger.sql);
  return result;
}
