-- Reads the keys of the rows of one table that belong to these visits, to delete them in the order
-- of the table: a third quicker than by the index (measured on MariaDB 11.8). As one text "1,2,…",
-- which a server cuts off silently where it is too long (max_allowed_packet): total shows that.
-- Cost: a dive a visit into the index by idvisit, covering. Locks: none.
SELECT GROUP_CONCAT({{pk}}) AS found, SUM({{pk}}) AS total
  FROM {{table}} FORCE INDEX ({{index}}) WHERE idvisit IN %s
