/** A schema with one of each, rows in every table, and every kind of statement that a migration may have. */
export const schema = `
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE teams (id int PRIMARY KEY, name text);
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email varchar(100) NOT NULL, name text, age int CONSTRAINT age_positive CHECK (age > 0),
  note text CONSTRAINT note_there CHECK (note IS NOT NULL), price numeric(10,2) DEFAULT 0,
  seen timestamp(3), address cidr, mood mood, code char(4), team int, rank int DEFAULT 20);
CREATE INDEX users_email ON users (email);
CREATE INDEX users_age ON users (age);
CREATE UNIQUE INDEX users_id_again ON users (id);
CREATE TABLE orders (id serial PRIMARY KEY, user_id bigint CONSTRAINT orders_user REFERENCES users (id), total int);
CREATE TABLE lines (id int, order_id int);
ALTER TABLE lines ADD CONSTRAINT lines_order FOREIGN KEY (order_id) REFERENCES orders (id) NOT VALID;
CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE events_other PARTITION OF events DEFAULT;
CREATE TABLE logs (at date) PARTITION BY RANGE (at);
CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE events_2027 (at date NOT NULL, what text);
CREATE TABLE base (id int); CREATE TABLE derived (extra int) INHERITS (base);
CREATE DOMAIN unused AS int;
CREATE TABLE sized (size positive); CREATE TABLE computed (a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE papers (id int PRIMARY KEY, body text);
CREATE VIEW adults AS SELECT id, rank FROM users WHERE rank >= 18;
CREATE MATERIALIZED VIEW totals AS SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id;
CREATE UNIQUE INDEX totals_user ON totals (user_id);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION token() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT md5(random()::text) $$;
CREATE PROCEDURE clean() LANGUAGE sql AS $$ DELETE FROM lines $$;
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY own_papers ON papers USING (true);
CREATE STATISTICS users_together ON age, team FROM users;
CREATE SEQUENCE numbers; CREATE PUBLICATION given;
CREATE SCHEMA shop; CREATE TABLE shop.items (id int PRIMARY KEY, name text);
INSERT INTO teams VALUES (1, 'one');
INSERT INTO users (email, name, age, note, seen, address, mood, code, team)
  SELECT 'u' || n || '@x.org', 'u' || n, 20 + n, 'n', now(), '10.0.0.0/8', 'good', 'abcd', 1 FROM generate_series(1, 30) n;
INSERT INTO orders (user_id, total) SELECT n, n FROM generate_series(1, 20) n;
INSERT INTO lines SELECT n, n FROM generate_series(1, 10) n;
INSERT INTO events VALUES ('2026-05-01', 'a'), ('2020-01-01', 'b');
INSERT INTO base VALUES (1); INSERT INTO derived VALUES (2, 2); INSERT INTO papers VALUES (1, 'x');
INSERT INTO shop.items VALUES (1, 'thing'); INSERT INTO sized VALUES (1); INSERT INTO computed (a) VALUES (1);
REFRESH MATERIALIZED VIEW totals`;

/** The application's own role: it owns nothing. */
export const grantsOfApp = `
CREATE ROLE app;
GRANT USAGE ON SCHEMA public, shop TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, shop TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO app;
GRANT USAGE ON SCHEMA public TO PUBLIC`;

/** What code from before does; it fails as soon as something that it relies on is gone, or says another thing. */
export const oldCode = `
SET LOCAL ROLE app;
SELECT id, email, name, age, note, price, seen, address, mood, code, team FROM users ORDER BY id;
INSERT INTO users (email, name, note, team) VALUES ('new@x.org', 'new', 'n', 1);
INSERT INTO users (email, age, note) VALUES ('new@x.org', 19, 'n');
UPDATE users SET name = NULL, age = NULL, team = 99 WHERE id = 3;
INSERT INTO orders (user_id, total) VALUES (1, NULL);
UPDATE orders SET total = 7 WHERE id = 1;
DELETE FROM lines WHERE id = 1;
INSERT INTO lines (id, order_id) VALUES (11, NULL), (11, NULL);
INSERT INTO events (at, what) VALUES ('2026-02-02', 'c'), ('2030-01-01', NULL), ('2027-02-02', 'd');
INSERT INTO base (id) VALUES (1); INSERT INTO derived (id, extra) VALUES (1, 1);
INSERT INTO papers (id, body) VALUES (2, 'y');
DELETE FROM papers WHERE id = 1;
INSERT INTO shop.items VALUES (2, 'other'); INSERT INTO sized VALUES (NULL), (5000); INSERT INTO computed (a) VALUES (2);
DO $$ BEGIN
  ASSERT (SELECT count(*) FROM users) = 32;
  ASSERT (SELECT count(*) FROM adults) = 32;
  ASSERT (SELECT count(*) FROM totals) = 20;
  ASSERT (SELECT price FROM users WHERE email = 'new@x.org' LIMIT 1) = 0;
  ASSERT (SELECT total FROM orders WHERE id = 1) = 7;
  ASSERT (SELECT count(*) FROM events) = 5;
  ASSERT (SELECT count(*) FROM base) = 4;
  ASSERT (SELECT count(*) FROM papers) = 1;
  ASSERT (SELECT count(*) FROM computed WHERE twice = a * 2) = 2;
  ASSERT token() IS NOT NULL;
END $$;
RESET ROLE`;

export const statements: readonly string[] = [
  // Columns.
  'ALTER TABLE users ADD COLUMN nick text',
  "ALTER TABLE users ADD COLUMN nick text DEFAULT 'none'",
  "ALTER TABLE users ADD COLUMN nick text NOT NULL DEFAULT 'none'",
  'ALTER TABLE users ADD COLUMN made timestamptz NOT NULL DEFAULT now()',
  'ALTER TABLE users ADD COLUMN made timestamptz DEFAULT clock_timestamp()',
  'ALTER TABLE users ADD COLUMN key uuid DEFAULT gen_random_uuid()',
  'ALTER TABLE users ADD COLUMN key text DEFAULT token()',
  'ALTER TABLE users ADD COLUMN number bigserial',
  'ALTER TABLE orders ADD COLUMN number int GENERATED ALWAYS AS IDENTITY',
  'ALTER TABLE users ADD COLUMN upper_name text GENERATED ALWAYS AS (upper(name)) STORED',
  'ALTER TABLE users ADD COLUMN size positive',
  'ALTER TABLE users ADD COLUMN size positive DEFAULT 5',
  'ALTER TABLE users ADD COLUMN size int CHECK (size > 0)',
  'ALTER TABLE users ADD COLUMN size int UNIQUE',
  'ALTER TABLE users ADD COLUMN boss bigint REFERENCES users (id)',
  'ALTER TABLE lines ADD COLUMN user_id bigint REFERENCES users (id)',
  'ALTER TABLE lines ADD COLUMN user_id bigint DEFAULT 1 REFERENCES users (id)',
  'ALTER TABLE events ADD COLUMN more text',
  "ALTER TABLE base ADD COLUMN more text DEFAULT 'x'",
  'ALTER TABLE ONLY teams ADD COLUMN more text',
  'ALTER TABLE users DROP COLUMN age',
  'ALTER TABLE users DROP COLUMN IF EXISTS name CASCADE',
  'ALTER TABLE events DROP COLUMN what',
  'ALTER TABLE users RENAME COLUMN name TO full_name',
  'ALTER TABLE events RENAME COLUMN what TO kind',
  'ALTER TABLE users ALTER COLUMN price SET DEFAULT 1',
  'ALTER TABLE users ALTER COLUMN price DROP DEFAULT',
  "ALTER TABLE users ALTER COLUMN note SET DEFAULT ''",
  'ALTER TABLE users ALTER COLUMN name SET NOT NULL',
  'ALTER TABLE users ALTER COLUMN note SET NOT NULL',
  'ALTER TABLE users ALTER COLUMN email DROP NOT NULL',
  'ALTER TABLE users ALTER COLUMN age SET STATISTICS 500',
  'ALTER TABLE users ALTER COLUMN note SET STORAGE external',
  'ALTER TABLE users ALTER COLUMN note SET (n_distinct = 5)',
  'ALTER TABLE users ALTER COLUMN id SET GENERATED BY DEFAULT',
  'ALTER TABLE users ALTER COLUMN id DROP IDENTITY',
  'ALTER TABLE lines ALTER COLUMN id SET NOT NULL, ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY',
  // Types.
  'ALTER TABLE users ALTER COLUMN email TYPE varchar(200)',
  'ALTER TABLE users ALTER COLUMN email TYPE varchar',
  'ALTER TABLE users ALTER COLUMN email TYPE text',
  'ALTER TABLE users ALTER COLUMN email TYPE text USING email::text',
  'ALTER TABLE users ALTER COLUMN email TYPE text USING lower(email)',
  'ALTER TABLE users ALTER COLUMN email TYPE varchar(50)',
  'ALTER TABLE users ALTER COLUMN name TYPE varchar',
  'ALTER TABLE users ALTER COLUMN name TYPE varchar(20)',
  'ALTER TABLE users ALTER COLUMN note TYPE varchar',
  'ALTER TABLE users ALTER COLUMN age TYPE bigint',
  'ALTER TABLE users ALTER COLUMN team TYPE smallint',
  'ALTER TABLE users ALTER COLUMN team TYPE text',
  'ALTER TABLE users ALTER COLUMN price TYPE numeric(12,2)',
  'ALTER TABLE users ALTER COLUMN price TYPE numeric',
  'ALTER TABLE users ALTER COLUMN price TYPE numeric(12,4)',
  'ALTER TABLE users ALTER COLUMN seen TYPE timestamp(6)',
  'ALTER TABLE users ALTER COLUMN seen TYPE timestamp',
  'ALTER TABLE users ALTER COLUMN seen TYPE timestamptz',
  'ALTER TABLE users ALTER COLUMN address TYPE inet',
  'ALTER TABLE users ALTER COLUMN code TYPE text',
  'ALTER TABLE users ALTER COLUMN code TYPE char(8)',
  'ALTER TABLE users ALTER COLUMN mood TYPE text',
  'ALTER TABLE events ALTER COLUMN what TYPE varchar(40)',
  // Rules.
  'ALTER TABLE users ADD CONSTRAINT short CHECK (length(name) < 99)',
  'ALTER TABLE users ADD CONSTRAINT short CHECK (length(name) < 99) NOT VALID',
  'ALTER TABLE users ADD CONSTRAINT alone UNIQUE (email)',
  'ALTER TABLE users ADD CONSTRAINT alone UNIQUE USING INDEX users_id_again',
  'ALTER TABLE lines ADD PRIMARY KEY (id)',
  'ALTER TABLE users ADD CONSTRAINT users_team FOREIGN KEY (team) REFERENCES teams (id)',
  'ALTER TABLE users ADD CONSTRAINT users_team FOREIGN KEY (team) REFERENCES teams (id) NOT VALID',
  'ALTER TABLE lines VALIDATE CONSTRAINT lines_order',
  'ALTER TABLE lines ADD CONSTRAINT apart EXCLUDE USING btree (id WITH =)',
  "ALTER TABLE events ADD CONSTRAINT said CHECK (what <> '')",
  'ALTER TABLE users DROP CONSTRAINT age_positive',
  'ALTER TABLE orders DROP CONSTRAINT orders_user',
  'ALTER TABLE users RENAME CONSTRAINT age_positive TO age_above_zero',
  // Whole tables.
  'ALTER TABLE users RENAME TO people',
  'ALTER TABLE lines SET SCHEMA shop',
  'ALTER TABLE lines SET UNLOGGED',
  'ALTER TABLE lines SET (fillfactor = 70)',
  'ALTER TABLE lines RESET (fillfactor)',
  'ALTER TABLE lines REPLICA IDENTITY FULL',
  'ALTER TABLE users CLUSTER ON users_email',
  'ALTER TABLE users OWNER TO app',
  'ALTER TABLE derived NO INHERIT base',
  'ALTER TABLE lines INHERIT base',
  "ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
  'ALTER TABLE events DETACH PARTITION events_2026',
  "CREATE TABLE events_2028 PARTITION OF events FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')",
  'CREATE TABLE notes (id int PRIMARY KEY, user_id bigint REFERENCES users (id))',
  'CREATE TABLE IF NOT EXISTS users (id int)',
  'CREATE TABLE child (x int) INHERITS (base)',
  'CREATE TABLE copied (LIKE users INCLUDING ALL)',
  'CREATE TABLE copied AS SELECT * FROM users',
  'CREATE TEMP TABLE scratch (id int)',
  'DROP TABLE lines',
  'DROP TABLE orders CASCADE',
  'DROP TABLE events',
  'DROP TABLE users CASCADE',
  'TRUNCATE lines',
  'TRUNCATE users CASCADE',
  'LOCK TABLE users IN SHARE MODE',
  'LOCK TABLE users',
  // Indexes.
  'CREATE INDEX users_name ON users (name)',
  'CREATE UNIQUE INDEX users_name ON users (name)',
  'CREATE INDEX events_what ON events (what)',
  'DROP INDEX users_email',
  'ALTER INDEX users_email RENAME TO users_mail',
  'ALTER INDEX users_email SET (fillfactor = 70)',
  'REINDEX TABLE users',
  'REINDEX INDEX users_email',
  'CLUSTER users USING users_email',
  // Views.
  'CREATE VIEW young AS SELECT id FROM users WHERE age < 18',
  'CREATE OR REPLACE VIEW adults AS SELECT id, rank FROM users WHERE rank >= 21',
  'CREATE OR REPLACE VIEW brand_new AS SELECT 1 AS one',
  'DROP VIEW adults',
  'ALTER VIEW adults RENAME TO grown',
  'CREATE MATERIALIZED VIEW again AS SELECT * FROM orders',
  'REFRESH MATERIALIZED VIEW totals',
  'REFRESH MATERIALIZED VIEW CONCURRENTLY totals',
  'DROP MATERIALIZED VIEW totals',
  // Triggers, rules, functions.
  'CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()',
  'DROP TRIGGER orders_touch ON orders',
  'ALTER TRIGGER orders_touch ON orders RENAME TO touched',
  'ALTER TABLE orders DISABLE TRIGGER orders_touch',
  'ALTER TABLE orders ENABLE TRIGGER ALL',
  'CREATE RULE quiet AS ON DELETE TO lines DO INSTEAD NOTHING',
  'CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
  'CREATE OR REPLACE FUNCTION fresh() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
  "CREATE OR REPLACE FUNCTION token() RETURNS text LANGUAGE sql AS $$ SELECT 'x'::text $$",
  'ALTER FUNCTION token() STABLE',
  'DROP FUNCTION token()',
  // Types and other objects.
  "CREATE TYPE size AS ENUM ('s', 'm')",
  'CREATE TYPE point3 AS (x int, y int, z int)',
  'CREATE DOMAIN short AS varchar(5)',
  "ALTER TYPE mood ADD VALUE 'mixed'",
  "ALTER TYPE mood RENAME VALUE 'good' TO 'great'",
  'ALTER TYPE mood RENAME TO feeling',
  'DROP DOMAIN unused',
  'CREATE SCHEMA other',
  'CREATE SEQUENCE more',
  'ALTER SEQUENCE numbers RESTART WITH 100',
  'CREATE EXTENSION IF NOT EXISTS plpgsql',
  'CREATE STATISTICS users_more ON age, name FROM users',
  'CREATE PUBLICATION changes FOR TABLE users',
  // Who may see what.
  'ALTER TABLE users ENABLE ROW LEVEL SECURITY',
  'ALTER TABLE papers DISABLE ROW LEVEL SECURITY',
  'ALTER TABLE users FORCE ROW LEVEL SECURITY',
  'CREATE POLICY mine ON users USING (true)',
  'CREATE POLICY strict ON users AS RESTRICTIVE USING (age > 20)',
  'ALTER POLICY own_papers ON papers USING (false)',
  'DROP POLICY own_papers ON papers',
  'GRANT SELECT ON users TO app',
  'REVOKE SELECT ON users FROM app',
  'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app',
  // Words about things, settings.
  "COMMENT ON TABLE users IS 'people'",
  "COMMENT ON COLUMN users.email IS 'where to write'",
  "COMMENT ON FUNCTION token() IS 'a token'",
  "SET LOCAL lock_timeout = '2s'",
  'SET LOCAL statement_timeout = 0',
  'SET LOCAL search_path = shop, public',
  // More of the same kinds.
  'ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 1000)',
  'ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 1000) NOT VALID',
  'ALTER DOMAIN positive SET NOT NULL',
  'ALTER DOMAIN positive DROP CONSTRAINT positive_check',
  'ALTER DOMAIN positive SET DEFAULT 1',
  'DROP TYPE mood CASCADE',
  'DROP FUNCTION touch() CASCADE',
  'DROP SCHEMA shop CASCADE',
  'DROP SEQUENCE numbers',
  'DROP STATISTICS users_together',
  'DROP INDEX users_id_again',
  'ALTER POLICY own_papers ON papers RENAME TO theirs',
  'ALTER FUNCTION token() RENAME TO ticket',
  'ALTER SEQUENCE numbers RENAME TO counts',
  'ALTER SCHEMA shop RENAME TO store',
  'ALTER MATERIALIZED VIEW totals RENAME TO sums',
  'ALTER TABLE events RENAME TO happenings',
  'ALTER VIEW adults RENAME COLUMN rank TO level',
  'ALTER VIEW adults SET (security_barrier = true)',
  'ALTER VIEW adults ALTER COLUMN rank SET DEFAULT 5',
  'ALTER VIEW adults OWNER TO app',
  'ALTER TABLE computed ALTER COLUMN twice DROP EXPRESSION',
  'ALTER TABLE sized ALTER COLUMN size TYPE bigint USING size + 1, ADD COLUMN b int',
  'ALTER TABLE users ADD CONSTRAINT sane CHECK (true) NOT VALID, ADD COLUMN b int, ALTER COLUMN name SET NOT NULL',
  'ALTER TABLE users ALTER COLUMN note SET COMPRESSION pglz',
  'ALTER TABLE events ADD PRIMARY KEY (at)',
  "ALTER TABLE sized ADD COLUMN many text[] DEFAULT ARRAY['a']",
  'ALTER TABLE sized ADD COLUMN at timestamptz DEFAULT CURRENT_TIMESTAMP',
  "ALTER TABLE sized ADD COLUMN at timestamptz DEFAULT now() + interval '1 day'",
  "ALTER TABLE sized ADD COLUMN n bigint DEFAULT nextval('numbers')",
  'ALTER TABLE IF EXISTS no_such_table ADD COLUMN n int',
  'CREATE INDEX ON ONLY events (what)',
  'CREATE INDEX ON users (lower(name)) WHERE age > 20',
  'ALTER STATISTICS users_together SET STATISTICS 100',
  'CREATE PUBLICATION everything FOR ALL TABLES',
  'CREATE PUBLICATION a_few FOR TABLE lines',
  'CREATE INDEX ON base (id)',
  'ALTER TABLE base ADD FOREIGN KEY (id) REFERENCES teams (id) NOT VALID',
  'CREATE PUBLICATION nothing',
  'ALTER PUBLICATION given ADD TABLE papers',
  'ALTER TABLE users ALTER COLUMN email SET NOT NULL',
  'ALTER TABLE events ADD UNIQUE (at)',
  'ALTER TABLE base ADD CONSTRAINT c CHECK (id > 0)',
  'ALTER TABLE base ADD UNIQUE (id)',
  'DROP VIEW IF EXISTS no_such_view',
  'DROP TABLE IF EXISTS no_such_table',
  'CREATE AGGREGATE total_of (int) (SFUNC = int4pl, STYPE = int)',
  'CREATE CAST (text AS box) WITH INOUT',
  'CREATE TABLE links (a int REFERENCES orders, b bigint REFERENCES users (id))',
  'CREATE CONSTRAINT TRIGGER late AFTER INSERT ON lines FROM orders DEFERRABLE FOR EACH ROW EXECUTE FUNCTION touch()',
  'ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM app',
  'GRANT app TO CURRENT_USER',
  'REASSIGN OWNED BY app TO CURRENT_USER',
  'DO $$ BEGIN PERFORM 1; END $$',
  'CALL clean()',
  'SELECT token()',
  "COMMENT ON CONSTRAINT age_positive ON users IS 'older than nothing'",
  "COMMENT ON INDEX users_email IS 'by mail'",
  "COMMENT ON VIEW adults IS 'grown'",
  "COMMENT ON POLICY own_papers ON papers IS 'mine'",
  "COMMENT ON TRIGGER orders_touch ON orders IS 'touches'",
  // Rows.
  'INSERT INTO lines (id) SELECT id FROM orders',
  'MERGE INTO lines USING orders ON lines.id = orders.id WHEN MATCHED THEN DELETE',
  'UPDATE lines SET id = lines.id FROM orders WHERE orders.id = lines.id',
  'UPDATE users SET name = upper(name)',
  'DELETE FROM lines WHERE id = 3',
  'INSERT INTO lines (id) VALUES (77)',
  "INSERT INTO papers (id) VALUES (9) ON CONFLICT (id) DO UPDATE SET body = 'z'",
  'WITH gone AS (DELETE FROM lines RETURNING id) SELECT count(*) FROM gone',
  'ANALYZE users',
  "SELECT setval('numbers', 50)",
];

/** What must not stand in a transaction, and what of another session it has to wait for. */
export const statementsOutside: readonly (readonly [sql: string, waitsFor: string])[] = [
  ['CREATE INDEX CONCURRENTLY users_team ON users (team)', 'UPDATE users SET team = 1 WHERE id = 1'],
  ['DROP INDEX CONCURRENTLY users_age', 'UPDATE users SET team = 1 WHERE id = 1'],
  ['REINDEX TABLE CONCURRENTLY orders', 'UPDATE orders SET total = 1 WHERE id = 1'],
  ['VACUUM users', 'LOCK TABLE users IN SHARE MODE'],
  ['VACUUM FULL users', 'SELECT 1 FROM users'],
  ['ALTER TABLE logs DETACH PARTITION logs_2026 CONCURRENTLY', 'SELECT 1 FROM logs_2026'],
];
