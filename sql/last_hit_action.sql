-- Reads the action that was recorded last. Cost: one row by primary key. Locks: none.
SELECT idlink_va, idvisit, UNIX_TIMESTAMP(server_time) AS epoch
  FROM {{action}}
 ORDER BY idlink_va DESC LIMIT 1
