-- Reads name, type and engine of everything in one schema, views too. Cost: one metadata look at
-- each; a second with 20,000 tables. Locks: none that wait for DML.
SELECT table_name AS name, table_type AS type, engine AS engine
  FROM information_schema.tables
 WHERE table_schema = %s
 ORDER BY table_name
