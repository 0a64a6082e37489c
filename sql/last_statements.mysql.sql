-- Reads the last statement of every connection, of idle ones too. Cost: reads memory;
-- milliseconds. Locks: none. Needs SELECT on performance_schema.
SELECT t.PROCESSLIST_ID AS id, e.SQL_TEXT AS statement
  FROM performance_schema.events_statements_current e
  JOIN performance_schema.threads t ON t.THREAD_ID = e.THREAD_ID
 WHERE t.PROCESSLIST_ID IS NOT NULL AND e.NESTING_EVENT_ID IS NULL
