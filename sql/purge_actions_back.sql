-- Undoes purge_actions_aside. Safe to run twice. Cost, locks: the same.
UPDATE {{log_action}} SET hash = CRC32(name)
 WHERE idaction IN %s AND hash = (CRC32(name) ^ 4294967295)
