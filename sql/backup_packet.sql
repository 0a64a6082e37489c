-- Reads the longest statement, in bytes, that this server takes. Cost, locks: none.
SELECT @@GLOBAL.max_allowed_packet
