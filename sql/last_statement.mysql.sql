-- Reads the last statement of one connection, also of an idle one. Cost: small. Locks: none. Needs
-- SELECT on performance_schema.
SELECT LEFT(s.sql_text, 300) AS statement
  FROM performance_schema.events_statements_current s
  JOIN performance_schema.threads t ON t.thread_id = s.thread_id
 WHERE t.processlist_id = %s
