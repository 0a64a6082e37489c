-- Reads the rows of Matomo's option table whose names are like a pattern (%s).
-- Cost: a range of the primary key. Locks: none.
SELECT option_name AS name, option_value AS value
  FROM {{option}}
 WHERE option_name LIKE %s
 ORDER BY option_name
