-- Reads a schema's default charset and collation; no row where there is no such schema, or
-- nothing in it is ours to see. Cost, locks: none.
SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
  FROM information_schema.SCHEMATA
 WHERE SCHEMA_NAME = %s
