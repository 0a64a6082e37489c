-- Reads the triggers of one table that this account may see: without the TRIGGER privilege, none.
-- Cost: opens that table. Locks: none.
SELECT TRIGGER_NAME AS name, ACTION_TIMING AS timing, EVENT_MANIPULATION AS event
  FROM information_schema.TRIGGERS
 WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = %s
 ORDER BY TRIGGER_NAME
