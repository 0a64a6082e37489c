-- Is that a token in force? Reads: one row by a unique key. Locks: none.
SELECT COUNT(*) FROM {{tokens}}
 WHERE password = %s AND (date_expired IS NULL OR date_expired > UTC_TIMESTAMP())
