-- Shown only, never run: takes back an index that was added ahead. Changes: the index is gone.
-- Cost: moments. Locks: an exclusive metadata lock for milliseconds.
ALTER TABLE {{table}} DROP INDEX {{name}}
