-- Reads which lists of the tracking queue are tables of this schema, with the bytes of their
-- files (kept for up to a day on MySQL 8 and later). Cost: one metadata look. Locks: none.
SELECT table_name AS name, data_length AS bytes
  FROM information_schema.tables
 WHERE table_schema = DATABASE() AND table_name LIKE %s
