-- Makes this session's transactions READ COMMITTED: no gap locks, so that the tracker's inserts
-- never wait for a chunk. Changes this session only. Cost, locks: none.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
