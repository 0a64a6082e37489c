-- Writes down one archive whose mark was taken off, in the same transaction. Cost: one row.
INSERT INTO {{flags}} (numeric_table, idarchive, name) VALUES (%s, %s, %s)
