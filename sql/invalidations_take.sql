-- Deletes rows by id: those that invalidations_carve has just copied, in the same transaction.
-- Cost: as many rows by primary key. Locks: these rows, until the end of the transaction.
DELETE FROM {{table}} WHERE idinvalidation IN ({{ids}})
