"""Small access logs, and cutting them, for the tests of ``logs.gap``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from matops.accesslog import gapfile
from matops.accesslog.cut import Rules, tracker_patterns
from matops.accesslog.slicing import Slicer
from matops.accesslog.sources import families
from matops.accesslog.verdict import Edge, Window

START = 1_795_300_000
"""Seconds since 1970: the windows of these tests begin here."""


def line(
    epoch: float, number: int, *, status: int = 503, method: str = "GET", agent: str = "Agent",
    query: Optional[str] = None, path: str = "/matomo.php", zone: int = 1, ip: str = "",
    before: str = "", rest: str = "",
) -> bytes:  # fmt: skip
    """A line of Apache's combined format."""
    at = dt.datetime.fromtimestamp(epoch, dt.timezone(dt.timedelta(hours=zone)))
    query = f"idsite=1&rec=1&n={number}" if query is None else query
    target = f"{path}?{query}" if query else path
    ip = ip or f"192.0.2.{number % 250 + 1}"
    return (
        f'{before}{ip} - - [{at:%d/%b/%Y:%H:%M:%S %z}] "{method} {target} HTTP/1.1" {status} 43 '
        f'"https://a.example/" "{agent}"{rest}\n'
    ).encode("latin-1")


def busy(first: int, last: int, step: float = 1.0) -> list[tuple[float, bytes]]:
    """Lines of [first, last) seconds after START, one every ``step``."""
    count = int((last - first) / step)
    return [(START + first + i * step, line(START + first + i * step, int(first + i * step)))
            for i in range(count)]  # fmt: skip


def window(start: float = 0, end: float = 600, *, marked: bool = True, **more: Any) -> Window:
    """[start, end) seconds after START."""
    edges = (Edge(START + start, START + start), Edge(START + end, START + end))
    off, on = edges if marked else (None, None)
    return Window(START + start, START + end, off, on, **{"margin": 0.0, **more})


def cut(
    tmp_path: Path, logs: Sequence[Path], wanted: Optional[Window] = None, *,
    web: Optional[dict[str, Any]] = None, **rules: Any,
) -> tuple[list[gapfile.Hit], dict[str, Any]]:  # fmt: skip
    """The hits that are to be replayed or asked about, and the report."""
    tracker, helpers = tracker_patterns(rules.pop("paths", ())), rules.pop("helpers", None)
    facts = {"logs": [str(path) for path in logs], **(web or {})}
    work = str(tmp_path / ".work")
    slicer = Slicer(
        Rules(wanted or window(), "web1", tracker, **rules),
        lambda: families(facts, str(tmp_path), [] if web else ["asked"], tracker[0]),
        work, helpers=helpers,
    )  # fmt: skip
    report = slicer.run()
    hits = [hit for kind in ("sure", "asked") for _, hit in gapfile.read(f"{work}.{kind}")]
    return hits, report


def numbers(hits: Iterable[gapfile.Hit]) -> list[int]:
    """The numbers in their queries."""
    return [int(hit.query.rpartition("n=")[2].partition("&")[0]) for hit in hits]
