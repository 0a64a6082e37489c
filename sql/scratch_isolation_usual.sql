-- Back to the usual level, where the binary log's format wants it. Changes: this session.
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ
