import { parseMigrations } from '../../../src/domain/migrations/migration-files.ts';
import { writeDown } from '../../../src/providers/postgres/write-down.ts';

/** Writes a way back of a migration that takes longer than anybody waits. */
const [migration] = parseMigrations([{ name: '1_long.sql', text: '-- migrate:up\nSELECT pg_sleep(120);\n' }]);
if (migration !== undefined) await writeDown(process.argv[2] ?? '', migration, []);
