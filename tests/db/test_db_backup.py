"""db.backup: what is read back is what was there; nobody waits; killed, it leaves nothing."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from matops.errors import Locked, MatopsError, Refused, UsageError
from matops.matomo import db_backup, db_backup_kept, db_restore
from matops.matomo.probes import backups
from matops.mysql.dump import choose, essentials, table
from matops.mysql.dump.essentials import Voices
from matops.mysql.dump.files import Damaged
from tests.conftest import environment
from tests.db import data, docroot
from tests.db.accounts import PASSWORD
from tests.db.servers import Server

ROOT = Path(__file__).parent.parent.parent
SCHEMA, BACK = "backed", "put_back"
NUMERIC = "piwik_archive_numeric_2026_01"

_TABLES = r"""
SET SESSION sql_mode = 'ALLOW_INVALID_DATES';
CREATE TABLE piwik_option (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT NOT NULL,
  autoload TINYINT DEFAULT 1);
INSERT INTO piwik_option VALUES ('a', REPEAT('it''s \\ "é" 🦊\n', 30000), 1), ('b', '', 0),
  ('tab\tnul\0', 'end\r\Z%s {{table}} :values', 1);
CREATE TABLE piwik_odd (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, small TINYINT, filled INT(6) ZEROFILL,
  single FLOAT, dbl DOUBLE, exact DECIMAL(30, 10), flags BIT(10), one BIT(1),
  d DATE DEFAULT '0000-00-00', t TIME(3), dt DATETIME(6), ts TIMESTAMP NULL, y YEAR,
  c CHAR(5), v VARCHAR(100), latin VARCHAR(50) CHARACTER SET latin1,
  wide VARCHAR(50) CHARACTER SET ucs2,
  e ENUM('x', 'it''s'), s SET('p', 'q'), b BINARY(3), vb VARBINARY(20),
  total INT GENERATED ALWAYS AS (small * 2) VIRTUAL,
  kept INT GENERATED ALWAYS AS (small + 1) STORED,
  PRIMARY KEY (id), KEY (kept)) AUTO_INCREMENT = 5000 COMMENT 'it''s; odd';
INSERT INTO piwik_odd (id, small, filled, single, dbl, exact, flags, one, d, t, dt, ts, y, c, v,
  latin, wide, e, s, b, vb) VALUES
  (0x7FFFFFFFFFFFFFFF, -128, 42, 3.14159274, 0.1 + 0.2, -12345678901234567890.0123456789,
   b'1000000001', 1, '2026-02-30', '-838:59:59', '2026-01-02 03:04:05.678901',
   '2026-03-29 02:30:00', 2026, 'ab ',
   'it''s\r\n\r', 'é\r\n', 'ж\r\n', 'it''s', 'p,q', 'a', ''),
  (18446744073709551615, 127, 1, 1e-38, 1.7976931348623157e308, 0, 0, 0, '0000-00-00', '00:00:00.5',
   '0000-00-00 00:00:00', NULL, 0, '', '\\', '', '', 'none', '', '\0\'\\', '\0\n\Z'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE piwik_long (id INT PRIMARY KEY, j JSON, tx TEXT CHARACTER SET latin1, bl BLOB,
  g GEOMETRY, f FLOAT, bt BIT(3));
INSERT INTO piwik_long VALUES (1, '{"a": "it\'s \\n"}', 'é''', '\0\'\\\n',
  ST_GeomFromText('POINT(1 2)'), 1.1, 5), (2, NULL, NULL, '', NULL, -0e0, NULL);
CREATE TABLE piwik_zero (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT);
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
INSERT INTO piwik_zero VALUES (0, 1), (7, 2);
CREATE TABLE piwik_child (id INT PRIMARY KEY, z INT, FOREIGN KEY (z) REFERENCES piwik_zero (id));
INSERT INTO piwik_child VALUES (1, 7);
CREATE TABLE `piwik_we``ird na/me` (`a``b` VARCHAR(20), `order` INT, PRIMARY KEY (`order`, `a``b`));
INSERT INTO `piwik_we``ird na/me` VALUES ('x''y', 1), ('{{table}}', 2), (':where', 2), ('', 3),
  ('\r\n', 2);
CREATE TABLE piwik_no_key (a VARCHAR(10));
INSERT INTO piwik_no_key VALUES ('same'), ('same'), (NULL);
CREATE TABLE piwik_myisam (a INT PRIMARY KEY) ENGINE=MyISAM; INSERT INTO piwik_myisam VALUES (1);
CREATE TABLE piwik_log_visit (idvisit INT PRIMARY KEY); INSERT INTO piwik_log_visit VALUES (1), (2);
CREATE TABLE piwik_archive_blob_2026_01 (idarchive INT PRIMARY KEY, value MEDIUMBLOB);
INSERT INTO piwik_archive_blob_2026_01 VALUES (1, 'blob');
CREATE TABLE `piwik_line
break` (a DATE PRIMARY KEY); INSERT INTO `piwik_line
break` VALUES ('2026-02-31'), ('2026-04-31'), ('2026-05-00');
CREATE TABLE piwik_жжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжжж (a INT);
CREATE TABLE alien (a INT); CREATE TRIGGER foreign_trigger BEFORE INSERT ON alien
  FOR EACH ROW SET NEW.a = 1;
CREATE VIEW piwik_alien AS SELECT a FROM alien; CREATE VIEW piwik_over AS SELECT a FROM piwik_alien;
CREATE TABLE piwik_gone (a INT); CREATE VIEW piwik_broken AS SELECT a FROM piwik_gone;
DROP TABLE piwik_gone;
CREATE VIEW piwik_a_view AS SELECT 1 AS v;
CREATE VIEW piwik_b_view AS SELECT v + 1 AS v FROM piwik_zero;
CREATE OR REPLACE VIEW piwik_a_view AS SELECT v FROM piwik_b_view;
SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
CREATE TRIGGER piwik_trigger BEFORE INSERT ON piwik_no_key FOR EACH ROW
  BEGIN SET NEW."a" = NEW.a || ';\r\n'; SET @x = 1; END;
SET SESSION sql_mode = '';
CREATE DEFINER = 'managed'@'%' FUNCTION piwik_twice(n INT) RETURNS INT DETERMINISTIC
  BEGIN DECLARE r INT; SET r = n * 2; RETURN r; END;
"""

_WITHOUT = {"piwik_log_visit", "piwik_archive_blob_2026_01"}


@dataclass
class Kit:
    """A schema to back up, and where."""

    server: Server
    folder: Path
    docroot: Path
    heard: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return str(self.folder / "backups")

    def make(
        self, add: Callable[[int], None] = lambda size: None, **options: Any
    ) -> dict[str, Any]:
        voices = Voices(add=add, say=self.heard.append)
        given = {"numeric": True, "about": {"host": "h", "version": "5.8.0"}, **options}
        return db_backup.make(str(self.docroot), self.place, voices=voices, **given)

    def restore(
        self, manifest: dict[str, Any], fresh: bool = True, files: str = "*.sql.gz"
    ) -> None:
        """By the very command that is printed, into an empty schema."""
        if fresh:
            self.server.sql(f"DROP DATABASE IF EXISTS {BACK}; CREATE DATABASE {BACK}")
        command = db_restore.command(f"{self.place}/{manifest['name']}", manifest, files)
        feed, _, client = command.rpartition(" | ")
        program, *words = client.split()
        end = ["-h", "127.0.0.1", "-P", str(self.server.port), "-u", "ADMIN", "-p", "SCHEMA"]
        assert words[-8:] == end
        done = subprocess.run(
            [*self.server.client(program, *words[:-8]), BACK],
            input=subprocess.run(feed, shell=True, capture_output=True, check=True).stdout,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def tables(self, schema: str) -> dict[str, tuple[str, int]]:
        """Name: (the statement that makes it, its checksum over every stored byte)."""
        with self.server.connect(schema=schema) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "SELECT TABLE_NAME AS n FROM information_schema.TABLES WHERE TABLE_TYPE ="
                f" 'BASE TABLE' AND TABLE_SCHEMA = '{schema}' AND TABLE_NAME LIKE 'piwik%'"
            )
            names = [str(row["n"]) for row in cursor.fetchall()]
            return {name: _table(cursor, "`" + name.replace("`", "``") + "`") for name in names}


def _table(cursor: Any, quoted: str) -> tuple[str, int]:
    cursor.execute(f"SHOW CREATE TABLE {quoted}")
    made = cursor.fetchall()[0]["Create Table"]
    cursor.execute(f"CHECKSUM TABLE {quoted}")
    return made, cursor.fetchall()[0]["Checksum"]


@pytest.fixture(scope="module")
def filled(server: Server) -> Iterator[Server]:
    server.sql(f"DROP DATABASE IF EXISTS {SCHEMA}; CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4")
    server.account("managed", SCHEMA)
    server.sql(_TABLES, SCHEMA)
    data.make(server, "archive_numeric", NUMERIC, 2, schema=SCHEMA)
    yield server
    server.sql(f"DROP DATABASE {SCHEMA}; DROP DATABASE IF EXISTS {BACK}")


@pytest.fixture
def kit(filled: Server, tmp_path: Path) -> Kit:
    return Kit(filled, tmp_path, docroot.make(tmp_path, filled.account("managed", SCHEMA)))


@pytest.fixture
def once(kit: Kit) -> Kit:
    """With one server: the other one would say the same."""
    if kit.server.flavour == "mysql":
        pytest.skip("the same on both servers")
    return kit


def test_what_is_read_back_is_what_was_there(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_FIRST", 1000)
    manifest = kit.make()
    by_name = {entry["name"]: entry for entry in manifest["tables"]}
    assert by_name[NUMERIC]["readings"] > 2 and by_name[NUMERIC]["snapshot"] == 0
    assert by_name["piwik_odd"]["snapshot"] == 1 == manifest["snapshots"]
    assert {name for name, entry in by_name.items() if entry["rows"] is None} == _WITHOUT
    assert sorted(manifest["not_ours"]) == ["alien", "matops_seed"]
    notes = " ".join(manifest["notes"])
    assert "piwik_broken is broken" in notes and "view piwik_over reads what is not" in notes
    kit.restore(manifest)
    before, after = kit.tables(SCHEMA), kit.tables(BACK)
    assert set(before) == set(after)
    for name, (made, checksum) in before.items():
        assert after[name][0] == made
        assert name in _WITHOUT or after[name][1] == checksum, name
    for name in _WITHOUT:
        assert kit.server.sql(f"SELECT COUNT(*) AS n FROM {name}", BACK)[0]["n"] == 0
    for text in ("SELECT * FROM piwik_a_view", "SELECT piwik_twice(4) AS v"):
        assert kit.server.sql(text, BACK) == kit.server.sql(text, SCHEMA)
    kit.server.sql("INSERT INTO piwik_no_key VALUES ('z')", BACK)
    assert {"a": "z;\r\n"} in kit.server.sql("SELECT a FROM piwik_no_key", BACK)
    # A second time into the same schema: it ends at once, and nothing is touched.
    with pytest.raises(AssertionError, match="1050"):
        kit.restore(manifest, fresh=False)
    assert kit.tables(BACK)[NUMERIC] == after[NUMERIC]


def test_every_table_by_its_key_is_the_same(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "TOGETHER", -1)
    monkeypatch.setattr(table, "_FIRST", 2)
    monkeypatch.setattr(table, "_WIDE", 0)
    monkeypatch.setattr(table, "STATEMENT", 200)
    manifest = kit.make(numeric=False)
    kit.restore(manifest)
    before, after = kit.tables(SCHEMA), kit.tables(BACK)
    for name, (made, checksum) in before.items():
        assert after[name] == (made, checksum) or name in {*_WITHOUT, NUMERIC}, name
    by_name = {entry["name"]: entry for entry in manifest["tables"]}
    assert by_name["piwik_we`ird na/me"]["readings"] == 2
    assert by_name[NUMERIC]["left_out"] == "--no-numeric"


class Pause:
    """Stops a backup that runs in a thread where it has just read table ``number``."""

    def __init__(self, kit: Kit, number: int, **options: Any) -> None:
        self._reached, self._go = threading.Event(), threading.Event()
        self._left = number
        self.manifest: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, args=(kit, options), daemon=True)

    def _run(self, kit: Kit, options: dict[str, Any]) -> None:
        self.manifest = kit.make(self._add, **options)

    def _add(self, size: int) -> None:
        self._left -= 1
        if self._left == 0:
            self._reached.set()
            assert self._go.wait(30)

    def __enter__(self) -> Pause:
        self._thread.start()
        assert self._reached.wait(30)
        return self

    def __exit__(self, *unused: object) -> None:
        self._go.set()
        self._thread.join(60)


_OPEN = (
    "SELECT COUNT(*) AS n FROM information_schema.INNODB_TRX t"
    " JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id"
    " WHERE p.USER = 'managed'"
)
_QUICK = "SET SESSION lock_wait_timeout = 1; "


def open_now(kit: Kit) -> int:
    """Transactions of the backup's account. The server shows a picture up to 0.1 s old."""
    time.sleep(0.15)
    return int(kit.server.sql(_OPEN)[0]["n"])


def test_a_table_read_by_parts_holds_up_nobody(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_FIRST", 500)
    monkeypatch.setattr(choose, "TOGETHER", -1)
    monkeypatch.setattr(table, "SECONDS", 0.0001)
    monkeypatch.setattr(essentials, "_PAUSE", 0)
    sql = kit.server.sql
    # The tables are read smallest first, archives last: this is in the middle of the largest.
    names = [p["name"] for p in db_backup.survey(str(kit.docroot), kit.place)["parts"]
             if p["what"] == choose.ROWS]  # fmt: skip
    assert names[-1] in (NUMERIC, "piwik_option")
    with Pause(kit, 3 * len(names)) as paused:
        assert open_now(kit) == 0
        # A rebuild of the very table, of another one, and purge: none waits.
        for name in (NUMERIC, "piwik_option"):
            sql(_QUICK + f"ALTER TABLE {name} COMMENT '{kit.folder.name}', FORCE", SCHEMA)
        sql(f"UPDATE {NUMERIC} SET value = value + 1 WHERE idarchive % 2 = 0", SCHEMA)
        data.wait_purged(kit.server, 20)
        with pytest.raises(Locked, match="another db"):
            kit.make()
    # Between two parts it became another table: what was read was not to be trusted.
    assert any("altered meanwhile" in line for line in kit.heard)
    count = sql(f"SELECT COUNT(*) AS n FROM {NUMERIC}", SCHEMA)[0]["n"]
    assert {t["name"]: t["rows"] for t in paused.manifest["tables"]}[NUMERIC] == count


def test_the_snapshot_holds_up_no_ddl(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(essentials, "_PAUSE", 0)
    sql = kit.server.sql
    with Pause(kit, 1) as paused:
        assert open_now(kit) == 1
        sql(
            _QUICK + "ALTER TABLE piwik_zero ADD COLUMN later INT DEFAULT 3, ALGORITHM=COPY", SCHEMA
        )
        sql(_QUICK + f"ALTER TABLE {NUMERIC} ENGINE=InnoDB", SCHEMA)
    try:
        assert paused.manifest["snapshots"] == 2
        assert any("altered meanwhile" in line for line in kit.heard)
        kit.restore(paused.manifest, files="10-piwik_zero.sql.gz")
        assert kit.tables(BACK) == {"piwik_zero": kit.tables(SCHEMA)["piwik_zero"]}
    finally:
        sql("ALTER TABLE piwik_zero DROP COLUMN later", SCHEMA)


def test_a_table_that_is_locked_is_one_line(once: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = once
    monkeypatch.setattr(
        "matops.mysql.dump.source._VARIABLES", {"lock_wait_timeout": 1, "sql_mode": ""}
    )
    monkeypatch.setattr("matops.mysql.dump.essentials._TRIES", 1)
    with kit.server.connect(schema=SCHEMA) as holder:
        holder.cursor().execute("LOCK TABLES piwik_zero WRITE")
        with pytest.raises(MatopsError, match=r"piwik_zero cannot be read.*db\.locks"):
            kit.make()
    assert os.listdir(kit.place) == [".lock"]


def test_matomos_own_account_is_enough(kit: Kit) -> None:
    root = docroot.make(kit.folder / "plain", kit.server.account("matomo", SCHEMA))
    kit.docroot = root
    notes = " ".join(kit.make()["notes"])
    assert f"GRANT SHOW VIEW ON `{SCHEMA}`.* TO 'matomo'@'%';" in notes
    assert f"GRANT TRIGGER ON `{SCHEMA}`.* TO 'matomo'@'%';" in notes
    kit.server.sql("SET GLOBAL read_only = 1")
    try:
        replica = f"127.0.0.1:{kit.server.port}"
        assert kit.make(numeric=False, source=replica)["from_replica"]
    finally:
        kit.server.sql("SET GLOBAL read_only = 0")
    kit.server.sql(f"REVOKE SELECT ON {SCHEMA}.* FROM matomo")
    with pytest.raises(MatopsError, match=f"GRANT SELECT ON `{SCHEMA}`"):
        kit.make()
    readme = Path(kit.place, db_backup_kept.listing(kit.place)[0]["name"], "README").read_text()
    assert "no way to undo an upgrade" in readme and "GRANT TRIGGER" in readme


def test_killed_damaged_kept(once: Kit) -> None:
    kit = once
    script = (
        "import sys, time; from matops.matomo import db_backup\n"
        "from matops.mysql.dump.essentials import Voices\n"
        "add = lambda size: (print('at work', flush=True), time.sleep(60))\n"
        "db_backup.make(*sys.argv[1:], numeric=True, about={}, voices=Voices(add=add))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(kit.docroot), kit.place],
                               cwd=ROOT, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout and process.stdout.readline()
    process.kill()
    process.wait()
    assert [name for name in os.listdir(kit.place) if name.endswith(".part")]
    assert db_backup_kept.listing(kit.place) == []
    name = kit.make(numeric=False)["name"]
    assert sorted(os.listdir(kit.place)) == [".lock", name]
    modes = {oct(p.stat().st_mode & 0o777) for p in Path(kit.place, name).iterdir()}
    assert modes == {"0o600"} and oct(os.stat(kit.place).st_mode & 0o777) == "0o700"
    assert not [p for p in Path(kit.place, name).glob("*.gz")
                if PASSWORD.encode() in gzip.decompress(p.read_bytes())]  # fmt: skip
    os.rename(f"{kit.place}/{name}", f"{kit.place}/20200101T000000Z")
    last = kit.make(numeric=False)["name"]
    assert db_backup_kept.prune(kit.place, 0) == ["20200101T000000Z"]
    assert [each["name"] for each in db_backup_kept.listing(kit.place)] == [last]
    seen = [kit.place], str(kit.docroot)
    assert backups.newest(*seen)[1] == ""
    file = Path(kit.place, last, "10-piwik_option.sql.gz")
    assert db_backup_kept.verify(kit.place, last)["name"] == last
    whole = file.read_bytes()
    for broken in (whole[:-9], whole[:50] + b"x" + whole[51:], b""):
        file.write_bytes(broken)
        with pytest.raises(Damaged, match=f"{last} is damaged"):
            db_backup_kept.verify(kit.place, last)
    assert backups.newest(*seen)[0] is None and "another size" in backups.newest(*seen)[1]
    file.write_bytes(whole)
    foreign = file.with_name("10-x.sql.gz")
    foreign.write_bytes(whole)
    with pytest.raises(Damaged, match="10-x"):
        db_backup_kept.verify(kit.place, last)
    foreign.unlink()
    manifest = file.with_name("manifest.json")
    text = manifest.read_text()
    for other in ("null", "[]", "{}", text.replace("10-piwik_option", "../x"), text[:200]):
        manifest.write_text(other)
        with pytest.raises(Damaged, match="its manifest"):
            db_backup_kept.verify(kit.place, last)
        assert db_backup_kept.listing(kit.place)[0]["error"]
    with pytest.raises(UsageError, match="no backup"):
        db_backup_kept.verify(kit.place, "../etc")


def test_a_disk_that_is_full_leaves_the_older_backup(once: Kit) -> None:
    kit = once
    name = kit.make(numeric=False)["name"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(MatopsError, match=r"File too large.*older backups stay"):
            kit.make()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(os.listdir(kit.place)) == [".lock", name]


def test_no_room_or_inside_the_docroot(once: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = once
    with pytest.raises(Refused, match="inside the docroot"):
        db_backup.survey(str(kit.docroot), f"{kit.docroot}/tmp/x")
    monkeypatch.setattr(db_backup, "RESERVE", 2**60)
    with pytest.raises(Refused, match=r"are free; the backup may take"):
        kit.make()
    assert os.listdir(kit.place) == [".lock"]


def type_(kit: Kit, *words: str, code: int = 0, settings: str = "") -> str:
    """What a task printed: both streams, or with --json what is on stdout."""
    path = kit.folder / "matops.yaml"
    path.write_text(f"docroot: {kit.docroot}\nphp: /bin/true\nstate_dir: {kit.folder}/state\n"
                    f"sudo: false\ndb_backup_dir: {kit.folder}/typed\n{settings}")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *words], cwd=ROOT, capture_output=True, text=True,
        env=environment(path), timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and PASSWORD not in done.stdout + done.stderr
    return done.stdout if "--json" in words else done.stdout + done.stderr


def test_typed(once: Kit) -> None:
    kit = once
    made = type_(kit, "db.backup", "--essentials", "--no-numeric", "--keep", "1")
    assert "read back" in made and "gunzip" in made and "no way to undo" in made
    # A clock that was ahead: the new one stays all the same, and --keep holds.
    (first,) = (kit.folder / "typed").glob("*/2*Z")
    first.rename(first.with_name("20990101T000000Z"))
    again = json.loads(type_(kit, "db.backup", "--essentials", "--keep", "1", "--json"))
    name = again["backup"]["name"]
    assert os.listdir(first.parent / name) and not list(first.parent.glob("2099*"))
    assert f"backup {name} is whole" in type_(kit, "db.backup.verify", "last")


def test_full(once: Kit) -> None:
    kit = once
    file = kit.folder / "full.gz"
    works = f"backup_command: 'SECRET=s3cret; seq 999 > {file}; cat; echo copied'\n"
    done = type_(kit, "db.backup", "--full", settings=f"{works}backup_files: {kit.folder}/ful*\n")
    assert "copied" in done and "a full backup of 20" in done and "s3cret" not in done
    (job,) = (kit.folder / "state").glob("*/jobs/backup.full.*")
    assert not any("s3cret" in part.read_text() for part in job.iterdir() if part.is_file())
    blind = "backup_command: 'true'\nbackup_check: 'echo s3cret'\n"
    assert "is not known" in (told := type_(kit, "db.backup", "--full", code=4, settings=blind))
    assert "s3cret" not in told
    file.write_bytes(gzip.compress(b""))  # what `mysqldump | gzip` leaves that could not log in
    assert backups.last_full("", str(file))[0] is None
