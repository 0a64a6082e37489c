-- Reads one table's definition as the server writes it. Cost: opens that table. Locks: a shared
-- metadata lock for the moment.
SHOW CREATE TABLE {{schema}}.{{table}}
