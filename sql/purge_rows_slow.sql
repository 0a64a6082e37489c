-- Deletes, in one range of its own key, the rows of a table that has idvisit but no index on it:
-- the table is gone through once for the whole purge, before its visits are deleted.
-- Cost: that range, and a dive a row into log_visit. Locks: the rows deleted (X), their visits
-- (shared), until the chunk's end.
DELETE {{table}}
  FROM {{table}} FORCE INDEX (PRIMARY)
       STRAIGHT_JOIN {{log_visit}} FORCE INDEX (PRIMARY)
       ON {{log_visit}}.idvisit = {{table}}.idvisit
 WHERE {{table}}.{{pk}} >= %s AND {{table}}.{{pk}} < %s AND {{log_visit}}.idsite IN %s
   AND {{log_visit}}.visit_last_action_time >= %s AND {{log_visit}}.visit_last_action_time < %s
