"""Helpers: the same gap with and without, however a log is; a helper that dies, a reader that
is killed."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from matops.accesslog import cut as cutting
from matops.accesslog import farm
from matops.errors import MatopsError
from tests.unit.gap_kit import START, busy, cut, line, numbers, window


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """6 MB in two files: late lines, tokens, raw bytes, other formats, lines near the edges."""
    rng = random.Random(4)
    made = []
    for at, text in busy(-700, 1300, 0.05):
        number = int((at - START) * 20)
        kind = rng.random()
        if kind < 0.05:
            text = line(at, number, agent="caf\xe9", query=f"idsite=1&token_auth={number}&n=1")
        elif kind < 0.1:
            text = line(at, number, before="b.example:443 ")
        elif kind < 0.2:
            text = line(at, number, path="/img.png")
        elif kind < 0.25:
            text = line(at, number, status=200)
        made.append((at + (rng.random() * 90 if kind > 0.97 else 0), text))
    made.sort(key=lambda pair: pair[0])
    half = b"".join(text for _, text in made[:20_000])
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(half, 1))
    (tmp_path / "access.log").write_bytes(b"".join(text for _, text in made[20_000:]))
    return tmp_path / "access.log"


def children() -> set[str]:
    """Of this process, zombies too; other tests of it may have started servers."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("marked", [True, False])
def test_helpers_find_the_same(tmp_path: Path, logs: Path, marked: bool) -> None:
    before, wanted = children(), window(margin=20.0) if marked else window(marked=False)
    alone, first = cut(tmp_path, [logs], wanted, helpers=0)
    for helpers in (1, 3):
        hits, report = cut(tmp_path, [logs], wanted, helpers=helpers)
        assert report.pop("helpers") == helpers and hits == alone
        assert report == {k: v for k, v in first.items() if k != "helpers"}
    assert len(alone) > 9_000 and len(first["tokens"]) > 100
    assert children() <= before


def test_a_helper_that_dies_is_one_line(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ours = children(), os.getpid()

    def dies(*given: Any) -> None:
        assert os.getpid() != ours
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(cutting.Cutter, "block", dies)
    with pytest.raises(MatopsError, match="a process that helps to cut the logs ended"):
        cut(tmp_path, [logs], helpers=2)
    assert children() <= before


def test_a_killed_reader_leaves_no_helper(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from matops.accesslog.farm import Farm\n"
        "with Farm(None, 3) as workers:\n"
        "    print(*(h.pid for h in workers._helpers), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        pids = [int(word) for word in reader.stdout.readline().split()]
        reader.kill()
    until = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert len(pids) == 3 and not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    """Not a zombie either: nobody may be there to wait for it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_little_is_cut_alone(tmp_path: Path, logs: Path) -> None:
    hits, report = cut(tmp_path, [logs])
    assert report["helpers"] == 0 and numbers(hits)
    assert farm.helpers_for([]) == 0
