-- Reads the statement that makes one procedure; NULL where this account may not see it. Cost, locks:
-- none.
SHOW CREATE PROCEDURE {{object}}
