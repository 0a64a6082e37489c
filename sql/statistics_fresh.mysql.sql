-- MySQL 8 and newer: lets information_schema.tables of this session show today's sizes, not
-- those of up to a day ago. Changes: this session only. Cost: none. Locks: none.
SET SESSION information_schema_stats_expiry = 0
