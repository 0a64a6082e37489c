-- The superuser in whose name a replay's token is made: the oldest one.
-- Reads: the user table. Cost: one small table. Locks: none.
SELECT login FROM {{user}}
 WHERE superuser_access = 1 AND login <> 'anonymous'
 ORDER BY date_registered, login LIMIT 1
