-- Copies rows, by id, into a backup table of the same shape: all columns but the computed ones,
-- also invisible ones. Cost: as many rows. Locks: the rows,
-- which are locked already.
INSERT INTO {{backup}} ({{columns}})
SELECT {{columns}} FROM {{table}} WHERE idinvalidation IN ({{ids}})
