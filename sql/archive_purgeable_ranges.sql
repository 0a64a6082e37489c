-- Counts archives of custom date ranges (period 5) older than the time given.
-- Cost: a range of index_period_archived. Locks: none.
SELECT COUNT(DISTINCT idarchive) FROM {{table}} WHERE period = 5 AND ts_archived < %s
