-- As purge_rows_slow, for a table that is reached through another one ({{parent}}) by its key.
-- Cost: that range, and two dives a row. Locks: the rows deleted (X), the others shared, until the
-- chunk's end.
DELETE {{table}}
  FROM {{table}} FORCE INDEX (PRIMARY)
       STRAIGHT_JOIN {{parent}} FORCE INDEX (PRIMARY) ON {{parent}}.{{key}} = {{table}}.{{key}}
       STRAIGHT_JOIN {{log_visit}} FORCE INDEX (PRIMARY)
       ON {{log_visit}}.idvisit = {{parent}}.idvisit
 WHERE {{table}}.{{pk}} >= %s AND {{table}}.{{pk}} < %s AND {{log_visit}}.idsite IN %s
   AND {{log_visit}}.visit_last_action_time >= %s AND {{log_visit}}.visit_last_action_time < %s
