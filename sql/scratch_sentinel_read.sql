-- Reads whose a scratch database is. Cost: one row. Locks: none.
SELECT token, live, made_by FROM {{scratch}}.{{sentinel}}
