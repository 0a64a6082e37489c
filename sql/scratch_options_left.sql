-- Counts the options too large to be copied. Cost: reads the option table once. Locks: none.
SELECT COUNT(*) FROM {{live}}.{{table}}
 WHERE option_name NOT LIKE 'version\_%%' AND LENGTH(option_value) > %s
