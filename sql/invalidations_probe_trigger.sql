-- Tries to make a trigger on a table that does not exist: 1142 without the TRIGGER privilege, 1146
-- with it. Changes nothing. Cost: none. Locks: none.
CREATE TRIGGER {{trigger}} BEFORE INSERT ON {{table}} FOR EACH ROW SET @matops = 1
