-- Reads the statement that makes one function; NULL where this account may not see it. Cost, locks:
-- none.
SHOW CREATE FUNCTION {{object}}
