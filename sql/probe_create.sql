-- Asks whether the account may CREATE (and SELECT) in a schema, with the name of a table that does not exist: the
-- server answers 1142 where it may not, 1146 where it may. Changes nothing. Cost, locks: none.
CREATE TABLE {{schema}}.{{table}} LIKE {{schema}}.{{other}}
