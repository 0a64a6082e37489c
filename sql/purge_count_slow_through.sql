-- As purge_count_slow, for a table that is reached through another one ({{parent}}) by its key.
-- Cost: that range, and two dives a row. Locks: none.
SELECT DATE(v.visit_last_action_time) AS day, COUNT(*) AS n
  FROM {{table}} AS c FORCE INDEX (PRIMARY)
       STRAIGHT_JOIN {{parent}} AS p FORCE INDEX (PRIMARY) ON p.{{key}} = c.{{key}}
       STRAIGHT_JOIN {{log_visit}} AS v FORCE INDEX (PRIMARY) ON v.idvisit = p.idvisit
 WHERE c.{{pk}} >= %s AND c.{{pk}} < %s AND v.idsite IN %s
   AND v.visit_last_action_time >= %s AND v.visit_last_action_time < %s
 GROUP BY DATE(v.visit_last_action_time)
