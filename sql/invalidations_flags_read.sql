-- Reads the next archives of such a list, behind an id, at most so many. Cost: as many rows.
SELECT id AS id, numeric_table AS numeric_table, idarchive AS idarchive, name AS name
  FROM {{flags}} WHERE id > %s ORDER BY id LIMIT %s
