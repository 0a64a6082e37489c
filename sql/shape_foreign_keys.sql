-- Reads which tables of a schema have foreign keys. Cost: small. Locks: none.
SELECT DISTINCT TABLE_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS
 WHERE CONSTRAINT_SCHEMA = %s
