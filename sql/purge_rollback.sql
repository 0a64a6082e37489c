-- Undoes the chunk under work. Cost: what was changed is put back. Locks: gives all back.
ROLLBACK
