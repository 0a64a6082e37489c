-- Reads whether one table has FULLTEXT or SPATIAL indexes: with them it cannot be rebuilt while it
-- is written to. Cost: one metadata look. Locks: none that wait for DML.
SELECT DISTINCT index_type AS type
  FROM information_schema.statistics
 WHERE table_schema = %s AND table_name = %s AND index_type IN ('FULLTEXT', 'SPATIAL')
