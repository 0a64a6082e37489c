-- Counts one site's visits that touch [start, end), UTC, by the time of their last action.
-- Cost: that range of index_idsite_datetime. Locks: none.
SELECT COUNT(*) FROM {{log_visit}}
 WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
