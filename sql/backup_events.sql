-- Counts a schema's scheduled events. Cost, locks: none.
SELECT COUNT(*) AS events FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
