-- Reads the keys of the rows of one table that belong to these visits, to delete them in the order
-- of the table: a third quicker than by the index (measured on MariaDB 11.8).
-- Cost: a dive a visit into the index by idvisit, covering. Locks: none.
SELECT {{pk}} AS k FROM {{table}} FORCE INDEX ({{index}}) WHERE idvisit IN %s
