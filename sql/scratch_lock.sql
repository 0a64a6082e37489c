-- Takes a named lock of this connection: 1, or 0 where another has it. A connection killed a moment
-- ago may still hold it: waits 3 s. Changes: nothing stored. Locks: only that name.
SELECT GET_LOCK(%s, 3)
