"""Schema changes: read (``parse``), and asked of the server (``probe``).

parse("ALTER TABLE t ADD COLUMN c INT NULL").additive   # True
probe(session, scratch_schema, ["ALTER TABLE t …"])     # [Verdict(algorithm="instant", …)]
"""

from matops.mysql.ddl.asking import probe
from matops.mysql.ddl.reading import Statement, parse, read, with_algorithm
from matops.mysql.ddl.verdict import Verdict, from_data

__all__ = ["Statement", "Verdict", "from_data", "parse", "probe", "read", "with_algorithm"]
