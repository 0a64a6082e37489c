-- Reads the time of the newest hit of all, of visits that began long ago, too (pings and goals
-- leave no action). Cost: one look per site into index_idsite_datetime ("Using index for
-- group-by"), whatever the size of the table. Locks: none.
SELECT UNIX_TIMESTAMP(MAX(newest)) AS epoch
  FROM (SELECT MAX(visit_last_action_time) AS newest FROM {{log_visit}} GROUP BY idsite) AS sites
