-- Counts which of some rows are still there. /*ids*/ is a list of bound values.
-- Cost: one index dive each. Locks: none.
SELECT COUNT(*) AS number FROM {{table}} FORCE INDEX (PRIMARY) WHERE idinvalidation IN (/*ids*/)
