/** Schemas as others build them: a shop for films, and a service with row level security. */
export const films = `
CREATE EXTENSION IF NOT EXISTS plpgsql;
CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17');
CREATE DOMAIN year AS integer CONSTRAINT year_check CHECK (VALUE >= 1901 AND VALUE <= 2155);
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.last_update = CURRENT_TIMESTAMP; RETURN NEW; END $$;
CREATE FUNCTION _group_concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN $2 IS NULL THEN $1 WHEN $1 IS NULL THEN $2 ELSE $1 || ', ' || $2 END $$;
CREATE AGGREGATE group_concat(text) (SFUNC = _group_concat, STYPE = text);
CREATE SEQUENCE actor_actor_id_seq;
CREATE TABLE actor (actor_id integer DEFAULT nextval('actor_actor_id_seq') NOT NULL PRIMARY KEY,
  first_name text NOT NULL, last_name text NOT NULL, last_update timestamptz DEFAULT now() NOT NULL);
CREATE INDEX idx_actor_last_name ON actor (last_name);
CREATE TABLE language (language_id serial PRIMARY KEY, name character(20) NOT NULL, last_update timestamptz DEFAULT now() NOT NULL);
CREATE TABLE film (film_id serial PRIMARY KEY, title text NOT NULL, description text, release_year year,
  language_id integer NOT NULL REFERENCES language ON UPDATE CASCADE ON DELETE RESTRICT,
  rental_rate numeric(4,2) DEFAULT 4.99 NOT NULL, length smallint, rating mpaa_rating DEFAULT 'G',
  last_update timestamptz DEFAULT now() NOT NULL, special_features text[], fulltext tsvector NOT NULL);
CREATE INDEX film_fulltext_idx ON film USING gist (fulltext);
CREATE TRIGGER film_fulltext_trigger BEFORE INSERT OR UPDATE ON film FOR EACH ROW
  EXECUTE FUNCTION tsvector_update_trigger('fulltext', 'pg_catalog.english', 'title', 'description');
CREATE TRIGGER last_updated BEFORE UPDATE ON film FOR EACH ROW EXECUTE FUNCTION last_updated();
CREATE TABLE film_actor (actor_id integer NOT NULL REFERENCES actor ON UPDATE CASCADE, film_id integer NOT NULL REFERENCES film,
  last_update timestamptz DEFAULT now() NOT NULL, PRIMARY KEY (actor_id, film_id));
CREATE TABLE customer (customer_id serial PRIMARY KEY, first_name text NOT NULL, email varchar(50), activebool boolean DEFAULT true NOT NULL,
  create_date date DEFAULT CURRENT_DATE NOT NULL);
CREATE TABLE payment (payment_id serial, customer_id integer NOT NULL REFERENCES customer, amount numeric(5,2) NOT NULL,
  payment_date timestamptz NOT NULL, PRIMARY KEY (payment_date, payment_id)) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_p2022_01 PARTITION OF payment FOR VALUES FROM ('2022-01-01') TO ('2022-02-01');
CREATE TABLE payment_p2022_02 PARTITION OF payment FOR VALUES FROM ('2022-02-01') TO ('2022-03-01');
CREATE VIEW actor_info AS SELECT a.actor_id, a.first_name, group_concat(f.title) AS film_info
  FROM actor a LEFT JOIN film_actor fa USING (actor_id) LEFT JOIN film f USING (film_id) GROUP BY a.actor_id, a.first_name;
CREATE VIEW customer_list AS SELECT customer_id AS id, first_name AS name, CASE WHEN activebool THEN 'active' ELSE '' END AS notes FROM customer;
CREATE MATERIALIZED VIEW rental_by_category AS SELECT rating, count(*) AS films FROM film GROUP BY rating;
COMMENT ON TABLE film IS 'What there is to rent';`;

export const filmRows = `
INSERT INTO language (name) VALUES ('English'), ('Italian');
INSERT INTO actor (first_name, last_name) VALUES ('PENELOPE', 'GUINESS'), ('NICK', 'WAHLBERG');
INSERT INTO film (title, description, release_year, language_id, length, rating) VALUES
  ('ACADEMY DINOSAUR', 'A drama', 2006, 1, 86, 'PG'), ('ACE GOLDFINGER', NULL, 2006, 2, 48, 'G');
INSERT INTO film_actor (actor_id, film_id) VALUES (1, 1), (2, 2);
INSERT INTO customer (first_name, email) VALUES ('MARY', 'mary@x.org'), ('PATRICIA', NULL);
INSERT INTO payment (customer_id, amount, payment_date) VALUES (1, 2.99, '2022-01-05'), (2, 0.99, '2022-02-07');`;

/** Roles that such a service has; they belong to the server, not to the database. */
export const serviceRoles = 'CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS';

export const service = `
CREATE SCHEMA auth; CREATE SCHEMA extensions; CREATE SCHEMA storage;
CREATE TABLE auth.users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text UNIQUE, raw_user_meta_data jsonb,
  created_at timestamptz DEFAULT now());
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT NULLIF(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
GRANT USAGE ON SCHEMA public, auth TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, username text UNIQUE,
  full_name text, avatar_url text, updated_at timestamptz, CONSTRAINT username_length CHECK (char_length(username) >= 3));
ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Public profiles are viewable by everyone." ON public.profiles FOR SELECT USING (true);
CREATE POLICY "Users can insert their own profile." ON public.profiles FOR INSERT WITH CHECK ((SELECT auth.uid()) = id);
CREATE POLICY "Users can update own profile." ON public.profiles FOR UPDATE USING ((SELECT auth.uid()) = id);
CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN INSERT INTO public.profiles (id, full_name) VALUES (NEW.id, NEW.raw_user_meta_data ->> 'full_name'); RETURN NEW; END $$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
CREATE TABLE public.todos (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES auth.users, task text CHECK (char_length(task) > 3), is_complete boolean DEFAULT false);
ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Individuals can view their own todos." ON public.todos FOR SELECT TO authenticated USING (auth.uid() = user_id);
CREATE PUBLICATION supabase_realtime;
ALTER PUBLICATION supabase_realtime ADD TABLE public.todos;`;

export const serviceRows = `
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES
  ('00000000-0000-0000-0000-000000000001', 'a@x.org', '{"full_name": "Ann"}'), ('00000000-0000-0000-0000-000000000002', 'b@x.org', '{}');
UPDATE public.profiles SET username = 'ann_the_first' WHERE full_name = 'Ann';
INSERT INTO public.todos (user_id, task) VALUES ('00000000-0000-0000-0000-000000000001', 'water the plants');`;
