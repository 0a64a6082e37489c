-- Ends this session's transaction; its changes stay. Cost: one flush of the log. Locks: gives back.
COMMIT
