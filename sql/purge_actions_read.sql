-- Reads actions of a range of numbers: those that a tracker finds by its hash (open), and those that
-- were set aside before: their hash is inverted. Others (a name cut off when it was stored) are
-- neither. Cost: that range of the primary key. Locks: none.
SELECT idaction, hash = CRC32(name) AS open, hash = (CRC32(name) ^ 4294967295) AS aside
  FROM {{log_action}} WHERE idaction >= %s AND idaction < %s
