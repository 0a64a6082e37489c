-- Reads the names of a schema's triggers; without the TRIGGER privilege there seem to be none.
-- Cost: opens every table that has some. Locks: none.
SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS on_table
  FROM information_schema.TRIGGERS
 WHERE TRIGGER_SCHEMA = %s
 ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER
