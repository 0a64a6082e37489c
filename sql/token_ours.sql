-- Tokens that a replay made, by the start of their description (%s, with % at its end).
-- Reads: the token table. Cost: a small table. Locks: none.
SELECT idusertokenauth AS id, description FROM {{tokens}} WHERE description LIKE %s
