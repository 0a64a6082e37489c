-- Writes one option of the scratch database. Cost: one row. Locks: that row.
REPLACE INTO {{scratch}}.{{table}} (option_name, option_value, autoload) VALUES (%s, %s, 0)
