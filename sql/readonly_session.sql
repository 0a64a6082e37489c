-- Makes every transaction of this session read-only from now on: the server itself refuses
-- changes (1792), DDL included. Changes: this session only. Cost: none. Locks: none.
SET SESSION TRANSACTION READ ONLY
