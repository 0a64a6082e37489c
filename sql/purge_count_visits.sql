-- Counts one site's visits per day (UTC) in [from, to): a month at the most, so that no read view
-- stays open for long.
-- Cost: a range of the index (idsite, visit_last_action_time), covering. Locks: none.
SELECT DATE(visit_last_action_time) AS day, COUNT(*) AS n
  FROM {{log_visit}} FORCE INDEX ({{time_index}})
 WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
 GROUP BY DATE(visit_last_action_time)
