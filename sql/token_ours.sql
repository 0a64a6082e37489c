-- Tokens that a replay made, by the start of their description (%s, with % at its end), and
-- whether they are in force still: token_revoke and time take that from them.
-- Reads: the token table. Cost: a small table. Locks: none.
SELECT idusertokenauth AS id, description,
       LEFT(password, 8) <> 'revoked-'
       AND (date_expired IS NULL OR date_expired > UTC_TIMESTAMP()) AS in_force
  FROM {{tokens}}
 WHERE description LIKE %s
