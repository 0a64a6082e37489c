-- Counts the rows of a table without idvisit that belong, through another table ({{parent}}), to
-- one site's visits in [from, to), per day (UTC) of the visit.
-- Cost: that range of log_visit's index, a dive a visit and a dive a row of the table between.
-- Locks: none.
SELECT DATE(v.visit_last_action_time) AS day, COUNT(*) AS n
  FROM {{log_visit}} AS v FORCE INDEX ({{time_index}})
       STRAIGHT_JOIN {{parent}} AS p FORCE INDEX ({{parent_index}}) ON p.idvisit = v.idvisit
       STRAIGHT_JOIN {{table}} AS c FORCE INDEX ({{index}}) ON c.{{key}} = p.{{key}}
 WHERE v.idsite = %s AND v.visit_last_action_time >= %s AND v.visit_last_action_time < %s
 GROUP BY DATE(v.visit_last_action_time)
