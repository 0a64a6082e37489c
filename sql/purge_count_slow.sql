-- Counts the rows of a table that has idvisit but no index on it, for all sites at once, per day
-- (UTC) of the visit, in one range of the table's own key.
-- Cost: that range, and a dive a row into log_visit. Locks: none.
SELECT DATE(v.visit_last_action_time) AS day, COUNT(*) AS n
  FROM {{table}} AS c FORCE INDEX (PRIMARY)
       STRAIGHT_JOIN {{log_visit}} AS v FORCE INDEX (PRIMARY) ON v.idvisit = c.idvisit
 WHERE c.{{pk}} >= %s AND c.{{pk}} < %s AND v.idsite IN %s
   AND v.visit_last_action_time >= %s AND v.visit_last_action_time < %s
 GROUP BY DATE(v.visit_last_action_time)
