-- Reads the statement that makes one table. Cost: opens it. Locks: its metadata, shared, for a moment
-- (in a transaction: until it ends or rolls back to a savepoint).
SHOW CREATE TABLE {{schema}}.{{table}}
