-- Reads rows as text that SQL understands (mysql/dump/columns.py puts what stands for :values):
-- a whole table, or by its primary key from where the last reading ended. Cost: reads that part
-- of the table. Locks: the table's metadata, shared, until it ends; a read view for as long.
SELECT :values FROM {{schema}}.{{table}} :from :where :order
