-- Reads the visit that began last. Cost: one row by primary key. Locks: none.
SELECT idvisit, UNIX_TIMESTAMP(visit_last_action_time) AS epoch
  FROM {{log_visit}}
 ORDER BY idvisit DESC LIMIT 1
