-- Reads the statement that makes one view; needs SHOW VIEW. Cost: opens what it reads. Locks: their
-- metadata, shared, for a moment.
SHOW CREATE VIEW {{object}}
