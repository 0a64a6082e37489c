-- Deletes actions that were set aside and that nothing refers to.
-- Cost: a dive each. Locks: those rows (X), for a moment.
DELETE FROM {{log_action}} WHERE idaction IN %s AND hash = (CRC32(name) ^ 4294967295)
