-- Tries whether metadata locks can be seen: this statement's own must be there. Cost: none to speak
-- of. Locks: none. Needs SELECT on performance_schema (1142 where not). No row where the instrument
-- wait/lock/metadata/sql/mdl is off: then the table is readable, and empty.
SELECT 1 FROM performance_schema.metadata_locks
 WHERE OBJECT_SCHEMA = 'performance_schema' AND OBJECT_NAME = 'metadata_locks' LIMIT 1
