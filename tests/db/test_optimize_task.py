"""What an operator sees of db.optimize: lines, JSON, exit codes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matops.mysql.monitor import Monitor
from tests.db import data
from tests.db.optimize_kit import SCHEMA
from tests.db.servers import Server

TABLE = "task_hollow"


@pytest.fixture
def table(server: Server) -> str:
    data.make(server, "archive_blob", TABLE, 15, "scattered")
    data.wait_purged(server)
    return TABLE


def go(server: Server, folder: Path, json_output: bool = False, **flags: Any
       ) -> subprocess.CompletedProcess[str]:  # fmt: skip
    asked = {
        "address": dataclasses.asdict(server.address(schema=SCHEMA)),
        "folder": str(folder),
        "json": json_output,
        "flags": {"tables": TABLE, "min_gain": "20%", **flags},
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.db.optimize_kit", json.dumps(asked)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_run_tells_what_it_did(server: Server, table: str, tmp_path: Path) -> None:
    done = go(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"[1/1] {table}" in done.stdout and "came free" in done.stdout
    assert "predicted" in done.stdout and "the longest wait of a client" in done.stdout
    events = [json.loads(x) for x in next(tmp_path.glob("events-*.jsonl")).read_text().splitlines()]
    names = [event["event"] for event in events]
    assert {"purge", "choices", "table", "ended"} <= set(names)
    ended = next(event for event in events if event["event"] == "ended")
    assert ended["result"]["reclaimed_bytes"] > 0
    # Again: nothing to do, and why.
    again = go(server, tmp_path)
    assert again.returncode == 0 and "no" in again.stdout and table in again.stdout


def test_json_and_quiet(server: Server, table: str, tmp_path: Path) -> None:
    done = go(server, tmp_path / "a", json_output=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["summary"]["rebuilt"] == 1
    assert answer["results"][0]["table"] == table and answer["choices"][0]["why"]
    quiet = go(server, tmp_path / "b", quiet=True, min_gain="0")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_exit_codes(server: Server, table: str, tmp_path: Path) -> None:
    assert go(server, tmp_path, tables="nosuch").returncode == 2
    assert go(server, tmp_path, until="yesterday").returncode == 2
    refused = go(server, tmp_path, free_space="1MB", min_gain="0")
    assert refused.returncode == 3 and "1.0 MB are free" in refused.stderr
    server.sql("CREATE OR REPLACE VIEW task_view AS SELECT 1 AS a", SCHEMA)
    view = go(server, tmp_path, tables="task_view", min_gain="0")
    assert view.returncode == 3 and "view" in view.stderr
    with Monitor(server.address(schema=SCHEMA)):
        held = go(server, tmp_path, quiet=True)
    assert held.returncode == 75 and "another db.optimize" in held.stderr
    for result in (refused, view, held):
        assert "Traceback" not in result.stderr and len(result.stderr.splitlines()) == 1
