-- Asks whether this account may read a table, without reading it. Cost, locks: none.
SELECT 1 FROM {{schema}}.{{table}} LIMIT 0
