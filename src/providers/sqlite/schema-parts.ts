import type { DatabaseSync } from 'node:sqlite';
import type { SchemaParts } from '../../domain/schema-difference.ts';
import { describeSchema } from './fingerprint.ts';
import type { Column, Schema } from './schema.ts';

interface DescribedReference {
  readonly from: string;
  readonly table: string;
  readonly to: string | null;
  readonly seq: number;
  readonly on_delete: string;
  readonly on_update: string;
  readonly match: string;
}

interface DescribedTable {
  readonly name: string;
  readonly text?: string;
  readonly withoutRowid?: boolean;
  readonly strict?: boolean;
  readonly columns?: readonly Column[];
  readonly indexes?: readonly {
    readonly name: string | null;
    readonly unique: number;
    readonly columns: readonly (readonly [name: string | null, descending: number, collation: string])[];
    readonly text: string | null;
  }[];
  readonly foreignKeys?: readonly DescribedReference[];
  readonly rules?: readonly string[];
}

interface Described {
  readonly tables: readonly DescribedTable[];
  readonly objects: readonly { readonly type: string; readonly name: string; readonly text: string | null }[];
}

function columnText(column: Column): string {
  return [
    column.type,
    ...(column.key > 0 ? [`PRIMARY KEY${column.key > 1 ? ` (place ${column.key})` : ''}`] : []),
    ...(column.notNull ? ['NOT NULL'] : []),
    ...(column.default === null ? [] : [`DEFAULT ${column.default}`]),
    ...(column.generated ? ['computed'] : []),
  ]
    .filter((word) => word !== '')
    .join(' ');
}

function referenceText({ to, seq, on_delete, on_update, match }: DescribedReference): string {
  return [
    `(${to ?? 'its key'})`,
    ...(seq > 0 ? [`place ${seq + 1}`] : []),
    ...(on_delete === 'NO ACTION' ? [] : [`ON DELETE ${on_delete}`]),
    ...(on_update === 'NO ACTION' ? [] : [`ON UPDATE ${on_update}`]),
    ...(match === 'NONE' ? [] : [`MATCH ${match}`]),
  ].join(' ');
}

function partsOfTable(table: DescribedTable): readonly (readonly [string, string])[] {
  const { name } = table;
  const kind = [
    ...(table.withoutRowid === true ? ['WITHOUT ROWID'] : []),
    ...(table.strict === true ? ['STRICT'] : []),
  ];
  return [
    [name, table.text ?? kind.join(', ')],
    ...(table.columns ?? []).map((column) => [`${name}.${column.name}`, columnText(column)] as const),
    ...(table.indexes ?? []).map((index) => {
      const columns = index.columns.map(
        ([column, descending, collation]) =>
          `${column ?? 'expression'}${descending === 1 ? ' DESC' : ''}${collation === 'BINARY' ? '' : ` ${collation}`}`,
      );
      const text = `${index.unique === 1 ? 'UNIQUE ' : ''}(${columns.join(', ')})${index.text === null ? '' : `: ${index.text}`}`;
      return index.name === null
        ? ([`${name} constraint ${text}`, ''] as const)
        : ([`${name} index ${index.name}`, text] as const);
    }),
    ...(table.foreignKeys ?? []).map(
      (key) => [`${name} reference from ${key.from} to ${key.table}`, referenceText(key)] as const,
    ),
    ...(table.rules ?? []).map((rule) => [`${name} rule ${rule.trim()}`, ''] as const),
  ];
}

/** What a schema's fingerprint is made of, by name, so that a person can be told in what two schemas differ. */
export function schemaParts(database: DatabaseSync, schema: Schema): SchemaParts {
  const { tables, objects } = JSON.parse(describeSchema(database, schema)) as Described;
  return Object.fromEntries([
    ...tables.flatMap(partsOfTable),
    ...objects.map(({ type, name, text }) => [`${type} ${name}`, text ?? ''] as const),
  ]);
}
