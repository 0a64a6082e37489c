"""The tasks as typed: ``inv db.*`` against both servers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.db import data, docroot
from tests.db.accounts import PASSWORD
from tests.db.optimize_kit import wait_for
from tests.db.servers import Server

SETTINGS = "docroot: {docroot}\nphp: /bin/true\nstate_dir: {state}\nsudo: false\n"
ROOT = Path(__file__).parent.parent.parent


@dataclass
class Desk:
    """A machine with a Matomo on it, to type tasks on."""

    server: Server
    settings: Path

    def type(self, *words: str, code: int = 0) -> str:
        """Runs a task; what it printed. Asserts the exit code, and that there is no traceback."""
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *words], cwd=ROOT, capture_output=True, text=True,
            env=environment(self.settings), timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, *words: str) -> Any:
        """The JSON document it printed."""
        return json.loads(self.type(*words, "--json"))


@pytest.fixture(scope="module")
def desk(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    server.sql("CREATE DATABASE typed")
    data.make(server, "archive_blob", "piwik_archive_blob_2026_01", 16, "scattered", schema="typed")
    data.make(server, "archive_numeric", "piwik_archive_numeric_2026_01", 1, schema="typed")
    data.wait_purged(server)
    folder = tmp_path_factory.mktemp(server.flavour)
    root = docroot.make(folder, server.account("matomo", "typed"))
    settings = folder / "matops.yaml"
    settings.write_text(
        f"docroot: {root}\nphp: /bin/true\nstate_dir: {folder}/state\nsudo: false\n"
    )
    yield Desk(server, settings)
    server.sql("DROP DATABASE typed")


def test_sizes(desk: Desk) -> None:
    text = desk.type("db.sizes", "--estimate-from", "1MB")
    assert "piwik_archive_blob_2026_01" in text and "archive_numeric" in text and "total" in text
    found = desk.json("db.sizes", "--estimate-from", "1MB", "--sort", "reclaim", "--top", "1")
    (first,) = found["tables"]
    assert first["name"] == "piwik_archive_blob_2026_01" and first["family"].endswith("2026-01")
    assert first["estimate"]["reclaim_bytes"] > 0.25 * first["file_bytes"]
    assert found["total"]["tables"] == 3
    assert "not one of" in desk.type("db.sizes", "--sort", "nonsense", code=2)
    assert "duration" in desk.type("db.sizes", "--budget", "5", code=2)


def test_locks(desk: Desk) -> None:
    assert "nobody waits" in desk.type("db.locks")
    idle = desk.server.connect(schema="typed", autocommit=False)
    idle.cursor().execute("SELECT 1 FROM piwik_archive_numeric_2026_01 LIMIT 1")
    waiting = subprocess.Popen(
        desk.server.client("mysql" if desk.server.flavour == "mysql" else "mariadb", "-e",
                           "TRUNCATE typed.piwik_archive_numeric_2026_01"))  # fmt: skip
    desk.server.sql("GRANT PROCESS ON *.* TO matomo")
    waits = (
        "SELECT 1 FROM information_schema.processlist"
        " WHERE info LIKE 'TRUNCATE typed%' AND state LIKE 'Waiting%'"
    )
    wait_for(lambda: desk.server.peek(waits), 20, "the wait")
    try:
        text = desk.type("db.locks")
        assert "TRUNCATE typed.piwik_archive_numeric_2026_01" in text
        assert f"perhaps for connection {idle.thread_id()}" in text or "note:" in text
        assert desk.json("db.locks")["waits"][0]["kind"] == "metadata"
    finally:
        idle.close()
        waiting.wait(20)
        desk.server.sql("REVOKE PROCESS ON *.* FROM matomo")


def test_locks_watched_until_ctrl_c(desk: Desk) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "invoke", "db.locks", "--watch", "1s"], cwd=ROOT,
        stdout=subprocess.PIPE, text=True, env=environment(desk.settings),
    )  # fmt: skip
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(8)]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 0
    assert "nobody waits" in lines[0] and lines.count(lines[0]) >= 2
    assert any(line.startswith("---") for line in lines)


def test_run(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "look.sql"
    file.write_text("SELECT COUNT(*) AS blobs FROM piwik_archive_blob_2026_01;\nSELECT 1 AS one;\n")
    text = desk.type("db.run", str(file))
    assert "blobs" in text and "1 rows in" in text and "line 2" in text
    file.write_text("SELECT 1;\nDROP TABLE piwik_archive_blob_2026_01;")
    assert "line 2" in desk.type("db.run", str(file), code=3)
    file.write_text("SELECT 1;\nSELECT * FROM nosuch;")
    assert "1146" in desk.type("db.run", str(file), code=1)
    assert "cannot be read" in desk.type("db.run", "/nosuch.sql", code=2)
    file.write_bytes(b"SELECT '\xff'")
    assert "UTF-8" in desk.type("db.run", str(file), code=2)


def test_privileges(desk: Desk) -> None:
    text = desk.type("db.privileges")
    assert "GRANT PROCESS ON *.* TO 'matomo'@'%';" in text
    found = desk.json("db.privileges")
    assert found["account"] == "'matomo'@'%'"
    assert {f["state"] for f in found["findings"]} == {"full", "degraded", "no"}


def test_a_server_that_is_down_is_one_line(desk: Desk, tmp_path: Path) -> None:
    address = desk.server.address(schema="typed")
    gone = docroot.make(tmp_path, address.__class__(**{**vars(address), "port": 1}))
    settings = tmp_path / "matops.yaml"
    settings.write_text(
        f"docroot: {gone}\nphp: /bin/true\nstate_dir: {tmp_path}/state\nsudo: false\n"
    )
    for task in ("db.sizes", "db.locks", "db.privileges"):
        text = Desk(desk.server, settings).type(task, code=1)
        assert "cannot be reached" in text and len(text.strip().splitlines()) == 1
