-- Tries whether InnoDB's own tables in information_schema may be read (PROCESS privilege).
-- Cost: none to speak of. Locks: none. Refused with 1227 where not.
SELECT COUNT(*) FROM information_schema.innodb_trx
