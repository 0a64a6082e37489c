-- Copies at most %s rows of a small table. Changes: the scratch database. Cost: those rows.
-- Locks: under READ COMMITTED none on the live rows.
INSERT INTO {{scratch}}.{{table}} SELECT * FROM {{live}}.{{table}} ORDER BY 1 LIMIT %s
