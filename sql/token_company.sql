-- The connections of this very account: without PROCESS a server shows just these. A tracker's
-- connection lasts as long as its request.
-- Reads: the list of connections. Cost: none. Locks: none.
SELECT ID AS id FROM information_schema.PROCESSLIST
 WHERE USER = SUBSTRING_INDEX(USER(), '@', 1) AND ID <> CONNECTION_ID()
