-- Newest first, all of them or one mood only: what the page asks for.

-- migrate:up
CREATE INDEX entries_by_time ON entries (created_at, id);
CREATE INDEX entries_by_mood ON entries (mood, created_at, id);

-- migrate:down
DROP INDEX entries_by_mood;
DROP INDEX entries_by_time;
