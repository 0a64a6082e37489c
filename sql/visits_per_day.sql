-- Counts one site's visits per day (UTC) of visit_last_action_time, the column and zone that
-- core:delete-logs-data goes by; the end is exclusive.
-- Cost: a range of index_idsite_datetime (covering). Locks: none.
SELECT DATE(visit_last_action_time) AS day, COUNT(*) AS visits
  FROM {{log_visit}}
 WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
 GROUP BY DATE(visit_last_action_time)
