-- Asks whether the account may see triggers, with the name of a table that does not exist: the server
-- answers 1142 where it may not, something else where it may or cannot tell. Changes nothing.
-- Cost, locks: none.
CREATE TRIGGER {{schema}}.{{table}} BEFORE INSERT ON {{schema}}.{{table}} FOR EACH ROW SET @matops = 1
