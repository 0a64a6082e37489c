-- Adds one row to Matomo's option table unless it is there. Cost: one row. Locks: that row.
INSERT IGNORE INTO {{option}} (option_name, option_value, autoload) VALUES (%s, %s, 0)
