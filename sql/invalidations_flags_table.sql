-- Makes an empty table that lists done flags: which archive, in which table. Cost: a new file.
CREATE TABLE {{new}} (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  numeric_table VARCHAR(64) NOT NULL,
  idarchive INT UNSIGNED NOT NULL,
  name VARCHAR(190) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
