-- What a token that is in force may do: whether its user is a superuser. No row: Matomo does not
-- know the token, or it has expired.
-- Reads: one row by a unique key, its user by primary key. Locks: none.
SELECT u.login, u.superuser_access AS superuser
  FROM {{tokens}} AS t
  JOIN {{user}} AS u ON u.login = t.login
 WHERE t.password = %s AND (t.date_expired IS NULL OR t.date_expired > UTC_TIMESTAMP())
