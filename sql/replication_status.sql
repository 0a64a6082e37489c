-- Reads whether this server is itself a replica, and how it is doing. Cost: none. Locks: none.
-- Needs REPLICATION CLIENT (MySQL), SLAVE MONITOR (MariaDB). MySQL 8.0.22, MariaDB 10.5.
SHOW REPLICA STATUS
