-- Creates the throw-away account of a rehearsal. Changes: the server's accounts. Needs CREATE
-- USER. Cost, locks: none.
CREATE USER %s@%s IDENTIFIED BY %s
