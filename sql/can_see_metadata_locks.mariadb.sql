-- Tries whether metadata locks can be seen: the plug-in metadata_lock_info, which is not
-- installed by default (1109 where not). Cost: none to speak of. Locks: none.
SELECT 1 FROM information_schema.metadata_lock_info LIMIT 1
