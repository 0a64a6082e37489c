-- Deletes these visits, the last of their chunk, unless one has moved on since it was read (then
-- fewer are deleted than asked for, and the chunk is undone). The form for several tables, because
-- only that one takes an index hint on both servers.
-- Cost: a dive a visit. Locks: those visits (X), until the chunk's end.
DELETE {{log_visit}} FROM {{log_visit}} FORCE INDEX (PRIMARY)
 WHERE {{log_visit}}.idvisit IN %s AND {{log_visit}}.idsite = %s
   AND {{log_visit}}.visit_last_action_time >= %s AND {{log_visit}}.visit_last_action_time < %s
