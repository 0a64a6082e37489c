-- Reads number and time (seconds since 1970, UTC) of the first action from a number on. Cost: one
-- index dive. Locks: none (a consistent read).
SELECT idlink_va AS id, UNIX_TIMESTAMP(server_time) AS at
  FROM {{actions}} WHERE idlink_va >= %s ORDER BY idlink_va LIMIT 1
