-- Shown only, never run: takes back a column that was added ahead. Changes: the column and what
-- stands in it are gone. Cost: INSTANT where the server can, else the table is rebuilt. Locks: an
-- exclusive metadata lock for milliseconds.
ALTER TABLE {{table}} DROP COLUMN {{name}}
