-- Copies rows, by id, into a backup table of the same shape. Cost: as many rows. Locks: the rows,
-- which are locked already.
INSERT INTO {{backup}} SELECT * FROM {{table}} WHERE idinvalidation IN ({{ids}})
