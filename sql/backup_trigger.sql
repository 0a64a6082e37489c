-- Reads the statement that makes one trigger; needs TRIGGER. Cost, locks: its table's metadata, shared,
-- for a moment.
SHOW CREATE TRIGGER {{object}}
