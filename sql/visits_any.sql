-- Has this site a visit whose last action lies in [start, end), UTC? One row, or none.
-- Cost: one dive into index_idsite_datetime. Locks: none.
SELECT 1 FROM {{log_visit}}
 WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
 LIMIT 1
