-- Takes a named lock of this connection, without waiting: 1, or 0 where another has it. Changes:
-- nothing stored; it ends with the connection. Locks: only that name.
SELECT GET_LOCK(%s, 0)
