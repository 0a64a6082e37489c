-- Sets actions aside: their hash is inverted, so that no tracker finds them any more; what refers to
-- them by number is served as before. Safe to run twice.
-- Cost: a dive each, and their entry of the index (type, hash). Locks: those rows (X), for a moment.
UPDATE {{log_action}} SET hash = CRC32(name) ^ 4294967295
 WHERE idaction IN %s AND hash = CRC32(name)
