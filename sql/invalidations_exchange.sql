-- Puts one table in the place of another, which gets a third name: both or neither. Changes no row.
-- Cost: milliseconds. Locks: exclusive metadata locks on all; waits for every transaction that has
-- touched them, and everybody else waits behind it: only under a short lock_wait_timeout.
RENAME TABLE {{live}} TO {{aside}}, {{new}} TO {{live}}
