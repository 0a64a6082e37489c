-- Copies Matomo's options: all versions, and of the others those of at most %s bytes; never what
-- matops keeps there. Changes: the scratch database. Cost: reads the option table once.
-- Locks: under READ COMMITTED none on the live rows.
INSERT INTO {{scratch}}.{{table}}
SELECT * FROM {{live}}.{{table}}
 WHERE (option_name LIKE 'version\_%%' OR LENGTH(option_value) <= %s)
   AND option_name NOT LIKE 'matops.%%'
