-- Reads the newest visit of one visitor of one site. Cost: a few rows of
-- index_idsite_idvisitor_time. Locks: none.
SELECT idvisit, UNIX_TIMESTAMP(visit_last_action_time) AS epoch
  FROM {{log_visit}}
 WHERE idsite = %s AND idvisitor = %s
 ORDER BY visit_last_action_time DESC LIMIT 1
