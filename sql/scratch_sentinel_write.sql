-- Writes whose a scratch database is. Changes: one row of it. Cost: none. Locks: that row.
INSERT INTO {{scratch}}.{{sentinel}} (token, live, made_by) VALUES (%s, %s, %s)
