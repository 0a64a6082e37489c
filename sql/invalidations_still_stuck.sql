-- Reads one row if it is in progress, by the start that it was seen with (none, for NULL).
-- Cost: one row by primary key. Locks: none.
SELECT idinvalidation AS id FROM {{table}}
 WHERE idinvalidation = %s AND status = 1 AND ts_started <=> %s
