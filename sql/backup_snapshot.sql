-- Opens one read view for many small tables, read-only. While it is open purge keeps every row
-- version since then: closed within seconds (mysql/dump/snapshot.py). Changes nothing. Locks: none yet.
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY
