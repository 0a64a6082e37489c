-- Creates the table that says whose a scratch database is. Changes: the scratch database.
-- Cost: none. Locks: none.
CREATE TABLE {{scratch}}.{{sentinel}} (
    token VARCHAR(64) NOT NULL PRIMARY KEY,
    live VARCHAR(255) NOT NULL,
    made_by VARCHAR(255) NOT NULL
) ENGINE = InnoDB
