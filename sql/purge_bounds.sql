-- Reads when the first and the last visit of one site in [from, to) ended, by the column and in the
-- zone (UTC) that core:delete-logs-data goes by; NULL where there is none.
-- Cost: two dives into the index (idsite, visit_last_action_time). Locks: none.
SELECT MIN(visit_last_action_time) AS first, MAX(visit_last_action_time) AS last
  FROM {{log_visit}} FORCE INDEX ({{time_index}})
 WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
