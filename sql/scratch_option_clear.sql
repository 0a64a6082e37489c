-- Empties one option of the scratch database. Cost: one row. Locks: that row.
DELETE FROM {{scratch}}.{{table}} WHERE option_name = %s
