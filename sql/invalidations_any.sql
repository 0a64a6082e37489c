-- Reads whether a table has a row at all. Cost: one row. Locks: none.
SELECT 1 FROM {{table}} LIMIT 1
