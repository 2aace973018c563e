import { createHash } from 'node:crypto';
import type { Connection } from '../connection.ts';

/** Every object of a schema by what it is called, with everything that defines it. Row order and column order are no part. */
export type Shape = ReadonlyMap<string, string>;

const own = (column: string): string => `${column} !~ '^(pg_|information_schema$)'`;
const noExtension = (catalogue: string, oid: string): string =>
  `NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = '${catalogue}'::regclass AND e.objid = ${oid} AND e.deptype = 'e')`;
const rights = (acl: string, kind: string, owner: string): string =>
  `(SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM unnest(COALESCE(${acl}, acldefault('${kind}', ${owner}))) r)`;

/** Each gives rows of `key` and `value`. */
const parts: readonly string[] = [
  `SELECT 'schema ' || nspname, concat_ws(' | ', nspowner::regrole, ${rights('nspacl', 'n', 'nspowner')})
   FROM pg_namespace n WHERE ${own('nspname')} AND ${noExtension('pg_namespace', 'n.oid')}`,
  `SELECT 'relation ' || c.oid::regclass, concat_ws(' | ', relkind, relpersistence, relowner::regrole, relrowsecurity,
     relforcerowsecurity, relreplident, reloptions::text, pg_get_partkeydef(c.oid), pg_get_expr(relpartbound, c.oid),
     (SELECT string_agg(inhparent::regclass::text, ',' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
     (SELECT amname FROM pg_am WHERE oid = relam), CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
     ${rights('relacl', 'r', 'relowner')})
   FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND ${own('nspname')} AND ${noExtension('pg_class', 'c.oid')}`,
  `SELECT 'column ' || c.oid::regclass || '.' || attname, concat_ws(' | ', format_type(atttypid, atttypmod), attnotnull,
     COALESCE(pg_get_expr(d.adbin, d.adrelid), '-'), attidentity, attgenerated, attcollation::regcollation, attstorage,
     to_jsonb(a) ->> 'attcompression', attstattarget, attoptions::text, attislocal, attinhcount, attacl::text)
   FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
   LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
   WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ${own('nspname')}
     AND ${noExtension('pg_class', 'c.oid')}`,
  `SELECT 'constraint ' || CASE WHEN conrelid <> 0 THEN conrelid::regclass::text ELSE contypid::regtype::text END || '.' || conname,
     concat_ws(' | ', pg_get_constraintdef(k.oid), convalidated, condeferrable, condeferred, conislocal, connoinherit)
   FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace
   WHERE ${own('nspname')} AND contype <> 't' AND ${noExtension('pg_constraint', 'k.oid')}`,
  `SELECT 'index ' || indexrelid::regclass, concat_ws(' | ', pg_get_indexdef(indexrelid), indisvalid, indisclustered,
     indisreplident, to_jsonb(i) ->> 'indnullsnotdistinct')
   FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace
   WHERE ${own('nspname')} AND ${noExtension('pg_class', 'c.oid')}`,
  `SELECT 'trigger ' || tgrelid::regclass || '.' || tgname, concat_ws(' | ', pg_get_triggerdef(t.oid), tgenabled)
   FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
   WHERE NOT tgisinternal AND ${own('nspname')}`,
  `SELECT 'rule ' || ev_class::regclass || '.' || rulename, concat_ws(' | ', pg_get_ruledef(w.oid), ev_enabled)
   FROM pg_rewrite w JOIN pg_class c ON c.oid = ev_class JOIN pg_namespace n ON n.oid = relnamespace
   WHERE rulename <> '_RETURN' AND ${own('nspname')}`,
  `SELECT 'policy ' || polrelid::regclass || '.' || polname, concat_ws(' | ', polcmd, polpermissive,
     (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END, ',' ORDER BY r) FROM unnest(polroles) r),
     pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
   FROM pg_policy p JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE ${own('nspname')}`,
  `SELECT 'routine ' || p.oid::regprocedure, concat_ws(' | ', prokind, proowner::regrole,
     CASE prokind WHEN 'a' THEN (SELECT concat_ws(',', aggtransfn, aggfinalfn, aggtranstype::regtype, agginitval)
       FROM pg_aggregate WHERE aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END, ${rights('proacl', 'f', 'proowner')})
   FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
   WHERE ${own('nspname')} AND ${noExtension('pg_proc', 'p.oid')}`,
  `SELECT 'type ' || t.oid::regtype, concat_ws(' | ', typtype, typowner::regrole, typnotnull, typdefault,
     CASE typtype WHEN 'd' THEN format_type(typbasetype, typtypmod) END,
     (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
     (SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = t.oid), ${rights('typacl', 'T', 'typowner')})
   FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace LEFT JOIN pg_class c ON c.oid = typrelid
   WHERE ${own('nspname')} AND (typtype IN ('d', 'e', 'r') OR c.relkind = 'c') AND ${noExtension('pg_type', 't.oid')}`,
  `SELECT 'sequence ' || seqrelid::regclass, concat_ws(' | ', format_type(seqtypid, NULL), seqstart, seqincrement, seqmin,
     seqmax, seqcache, seqcycle, relowner::regrole, relpersistence, ${rights('relacl', 's', 'relowner')},
     (SELECT refobjid::regclass || '.' || attname FROM pg_depend d JOIN pg_attribute a ON a.attrelid = refobjid AND attnum = refobjsubid
      WHERE d.classid = 'pg_class'::regclass AND d.objid = seqrelid AND d.deptype IN ('a', 'i') AND refobjsubid > 0))
   FROM pg_sequence q JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace
   WHERE ${own('nspname')} AND ${noExtension('pg_class', 'c.oid')}`,
  `SELECT 'comment ' || i.type || ' ' || i.identity, d.description FROM pg_description d,
     LATERAL pg_identify_object(classoid, objoid, objsubid) i
   WHERE objoid >= 16384 AND COALESCE(i.schema, '') !~ '^(pg_|information_schema$)'
     AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = classoid AND e.objid = objoid AND e.deptype = 'e')`,
  `SELECT 'extension ' || extname, concat_ws(' | ', extversion, extnamespace::regnamespace) FROM pg_extension`,
  `SELECT 'statistics ' || stxnamespace::regnamespace || '.' || stxname, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext`,
  `SELECT 'publication ' || pubname, concat_ws(' | ', puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
     (SELECT string_agg(concat_ws(' ', prrelid::regclass, prattrs::text, pg_get_expr(prqual, prrelid)), ',' ORDER BY prrelid::regclass::text)
      FROM pg_publication_rel WHERE prpubid = p.oid)) FROM pg_publication p`,
  `SELECT 'event trigger ' || evtname, concat_ws(' | ', evtevent, evtfoid::regproc, evtenabled, evttags::text) FROM pg_event_trigger`,
  `SELECT 'default rights ' || concat_ws(' ', defaclrole::regrole, NULLIF(defaclnamespace, 0)::regnamespace, defaclobjtype),
     (SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM unnest(defaclacl) r) FROM pg_default_acl`,
];

export async function readShape(connection: Connection): Promise<Shape> {
  // Names are then written with their schema, whoever asks.
  await connection.run("SET search_path = ''");
  const found = new Map<string, string>();
  try {
    for (const part of parts) {
      const rows = await connection.rows<{ key: string; value: string | null }>(
        `SELECT * FROM (${part}) AS part (key, value)`,
      );
      for (const { key, value } of rows) found.set(key, value ?? '');
    }
  } finally {
    await connection.run('RESET search_path');
  }
  return found;
}

export function fingerprintOf(shape: Shape): string {
  const lines = [...shape].map(([key, value]) => JSON.stringify([key, value])).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

/** What differs, one line each: for a person. */
export function differences(before: Shape, after: Shape): readonly string[] {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort();
  return keys.flatMap((key) => {
    const [was, is] = [before.get(key), after.get(key)];
    if (was === is) return [];
    if (is === undefined) return [`${key} is missing`];
    return was === undefined ? [`${key} is left`] : [`${key} is another: ${is}, was ${was}`];
  });
}

/** Tables whose columns stand in another order: code that names none of them would mix them up. */
export async function columnOrder(connection: Connection): Promise<ReadonlyMap<string, string>> {
  const rows = await connection.rows<{ name: string; columns: string }>(
    `SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || relname AS name,
       string_agg(attname, ', ' ORDER BY attnum) AS columns
     FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
     WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p') AND ${own('nspname')} GROUP BY 1`,
  );
  return new Map(rows.map(({ name, columns }) => [name, columns]));
}
