-- Counts which of these visits are there, after a connection was lost during their chunk; waits for
-- a transaction that still has them. Cost: a dive a visit. Locks: those visits (X), for a moment.
SELECT COUNT(*) FROM {{log_visit}} FORCE INDEX (PRIMARY) WHERE idvisit IN %s FOR UPDATE
