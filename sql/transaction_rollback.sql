-- Ends this session's transaction; its changes are undone. Cost: as they were. Locks: gives back.
ROLLBACK
