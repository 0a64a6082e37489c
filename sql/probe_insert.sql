-- Asks whether the account may INSERT in a schema, with the name of a table that does not exist: the
-- server answers 1142 where it may not, 1146 where it may. Changes nothing. Cost, locks: none.
INSERT INTO {{schema}}.{{table}} VALUES (1)
