-- Makes an empty table of the same shape: columns, indexes, row format, no triggers, no foreign
-- keys. Changes: a new table in a scratch schema. Cost: milliseconds. Locks: a shared metadata lock
-- on the model, for that long; it waits for DDL on the model.
CREATE TABLE {{schema}}.{{table}} LIKE {{from_schema}}.{{model}}
