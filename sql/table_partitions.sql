-- Reads the partitions of one table with their sizes in bytes, in their order; no row for a table
-- that has none. Cost: one metadata look. Locks: none that wait for DML.
SELECT partition_name AS name, SUM(data_length + index_length) AS bytes
  FROM information_schema.partitions
 WHERE table_schema = %s AND table_name = %s AND partition_name IS NOT NULL
 GROUP BY partition_name
 ORDER BY MIN(partition_ordinal_position)
