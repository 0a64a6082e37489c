-- Tries whether metadata locks can be seen. Cost: none to speak of. Locks: none.
-- Needs SELECT on performance_schema (1142 where not); it is on by default.
SELECT 1 FROM performance_schema.metadata_locks LIMIT 1
