-- Reads the next visits of one site in [from, to), in the order of the index, behind the last one
-- taken (its time and idvisit): what was deleted before is not walked over again. As one text
-- "idvisit:weight,…": thousands of rows would cost the client more than the server; total shows whether it was cut off.
-- Cost: so many entries of the index (idsite, visit_last_action_time) and their rows. Locks: none.
SELECT GROUP_CONCAT(idvisit, ':', COALESCE(weight, 0) ORDER BY time, idvisit) AS found,
       SUM(idvisit) AS total
  FROM (SELECT idvisit, visit_last_action_time AS time, {{weight}} AS weight
          FROM {{log_visit}} FORCE INDEX ({{time_index}})
         WHERE idsite = %s AND visit_last_action_time >= %s AND visit_last_action_time < %s
           AND NOT (visit_last_action_time = %s AND idvisit <= %s)
         ORDER BY visit_last_action_time, idvisit
         LIMIT %s) AS part
