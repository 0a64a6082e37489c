-- Reads which tables of a schema have triggers that this account may see (TRIGGER). Cost: small.
-- Locks: none.
SELECT DISTINCT EVENT_OBJECT_TABLE AS name FROM information_schema.TRIGGERS
 WHERE EVENT_OBJECT_SCHEMA = %s
