-- migrate:up
CREATE TABLE entries (
  id INTEGER PRIMARY KEY,
  body TEXT NOT NULL CHECK (length(body) > 0),
  created_at TEXT NOT NULL, mood TEXT);

-- migrate:down
DROP TABLE entries;
