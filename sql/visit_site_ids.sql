-- Reads the ids of the sites that have visits: of deleted sites too.
-- Cost: a loose scan of index_idsite_datetime, one dive per site. Locks: none.
SELECT DISTINCT idsite FROM {{log_visit}}
