-- Drops a table that matops made in a scratch schema. Changes: that table is gone. Cost:
-- milliseconds for an empty one. Locks: its own metadata lock.
DROP TABLE IF EXISTS {{schema}}.{{table}}
