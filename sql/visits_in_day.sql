-- Counts one site's visits, and their actions, as Matomo's archiver does: by the time of the last
-- action, which lies in [start, end), UTC (LogAggregator::VISIT_DATETIME_FIELD).
-- Cost: the visits of that site and day, by index_idsite_datetime. Locks: none.
SELECT COUNT(*) AS visits, COALESCE(SUM(visit_total_actions), 0) AS actions
  FROM {{log_visit}}
 WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
