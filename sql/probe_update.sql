-- Asks whether the account may UPDATE in a schema, with the name of a table that does not exist: the
-- server answers 1142 where it may not, 1146 or 1051 where it may. Changes nothing. Cost, locks: none.
UPDATE {{schema}}.{{table}} SET a = 1 WHERE 1 = 0
