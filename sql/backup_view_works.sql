-- Asks whether a view's tables, columns and functions are still there (else error 1356). Cost: none,
-- no row is read. Locks: their metadata, shared, for a moment.
SELECT 1 FROM {{schema}}.{{object}} LIMIT 0
