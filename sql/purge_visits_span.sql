-- As purge_visits, for visits whose numbers lie close together: one range of the primary key.
-- Cost: that range. Locks: those visits (X), until the chunk's end; others in the range only while
-- they are looked at (READ COMMITTED).
DELETE {{log_visit}} FROM {{log_visit}} FORCE INDEX (PRIMARY)
 WHERE {{log_visit}}.idvisit BETWEEN %s AND %s AND {{log_visit}}.idvisit + 0 IN %s
   AND {{log_visit}}.idsite = %s
   AND {{log_visit}}.visit_last_action_time >= %s AND {{log_visit}}.visit_last_action_time < %s
