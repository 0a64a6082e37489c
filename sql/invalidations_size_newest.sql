-- Reads the largest id. Cost: one index dive. Locks: none.
SELECT MAX(idinvalidation) FROM {{table}}
