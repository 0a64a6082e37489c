-- Ends the transaction of one chunk: its visits and all that belongs to them are gone together.
-- Cost: one write of the log. Locks: gives all back.
COMMIT
