-- Where an entry was written. Adds only: code that does not know the column goes on working.

-- migrate:up
ALTER TABLE entries ADD COLUMN place TEXT;

-- migrate:down
ALTER TABLE entries DROP COLUMN place;
