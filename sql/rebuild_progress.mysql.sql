-- Reads how far rebuilds have come, in InnoDB's own units; no row where the consumer
-- events_stages_current is off. Cost: small. Locks: none.
SELECT event_name AS stage, work_completed AS done, work_estimated AS estimated
  FROM performance_schema.events_stages_current
 WHERE event_name LIKE 'stage/innodb/alter%'
