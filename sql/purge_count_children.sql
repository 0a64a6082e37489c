-- Counts the rows of one table that belong to one site's visits in [from, to), per day (UTC) of the
-- visit. Cost: that range of log_visit's index, and a dive a visit into the table's index by
-- idvisit, covering. Locks: none.
SELECT DATE(v.visit_last_action_time) AS day, COUNT(*) AS n
  FROM {{log_visit}} AS v FORCE INDEX ({{time_index}})
       STRAIGHT_JOIN {{table}} AS c FORCE INDEX ({{index}}) ON c.idvisit = v.idvisit
 WHERE v.idsite = %s AND v.visit_last_action_time >= %s AND v.visit_last_action_time < %s
 GROUP BY DATE(v.visit_last_action_time)
