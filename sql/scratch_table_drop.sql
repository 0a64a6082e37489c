-- Removes one table of the scratch database. Cost: some milliseconds. Locks: that table.
DROP TABLE IF EXISTS {{scratch}}.{{table}}
