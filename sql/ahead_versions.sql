-- Reads which version every component of an installation has. Cost: some hundred rows. Locks: none.
SELECT option_name AS name, option_value AS value
  FROM {{option}}
 WHERE option_name LIKE 'version\_%'
