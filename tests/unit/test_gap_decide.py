"""logs.gap's questions to the database, its store, its judgement: the decisions alone."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from matops.accesslog import gapfile, gapstore, holes, keeping, runs
from matops.accesslog.retained import LOST, SURVIVES, UNSURE, judge
from matops.accesslog.rotation import Rotation
from matops.accesslog.tally import Tally
from matops.accesslog.verdict import Edge, Window
from matops.errors import MatopsError, UsageError
from matops.matomo.gap_decide import BY_DATABASE, BY_MARK, UNDECIDED, Decider
from matops.matomo.recorded import Answer
from matops.runbook.log_gap_plan import Typed, edge_of, refuse_future, span_of

OFF, ON = Edge(100.0, 100.2), Edge(200.0, 200.2)


def write(path: Path, *hits: tuple[float, str, str]) -> str:
    """A gap file of (epoch, flags, query)."""
    lines = []
    for place, (epoch, flags, query) in enumerate(hits):
        key = gapfile.sort_key(gapfile.stamp(epoch), b"web1", 0, place)
        values = (b"GET", b"/matomo.php", query.encode(), b"", b"", b"", b"204", b"", b"")
        lines.append(gapfile.line(key, flags.encode(), *values))
    path.write_bytes(gapfile.HEADER + b"".join(sorted(lines)))
    return str(path)


def test_each_unclear_hit_is_judged_by_its_own_row(tmp_path: Path) -> None:
    """Claims are asked about, too, so that their rows answer for no other; only they stay out."""
    answers = {"yes": Answer(1), "no": Answer(0), "never": Answer(0, "no rec"),
               "ping": Answer(None, "a ping leaves no row")}  # fmt: skip
    asked: list[str] = []

    def ask(hits: Sequence[Any]) -> list[Answer]:
        asked.extend(hit["query"] for hit in hits)
        return [answers[hit["query"]] for hit in hits]

    source = write(tmp_path / "asked", (99, "ER", "yes"), (99.5, "E", "yes"), (101, "E", "no"),
                   (102, "E", "never"), (103, "E", "ping"), (99, "E", "ping"))  # fmt: skip
    target = str(tmp_path / "kept")
    done = Decider(Window(100, 200.2, OFF, ON), ask).files([source], target)
    kept = [(hit.query, hit.flags) for _, hit in gapfile.read(target)]
    assert kept == [("no", "ED"), ("never", "ED"), ("ping", "E")]
    assert dict(done.reasons) == {"recorded": 1, BY_DATABASE: 1, BY_MARK: 1}
    assert (done.asked, done.kept, done.claims, done.missing, len(asked)) == (5, 3, 1, 0, 6)
    unmarked = Decider(Window(100, 200), ask).files([source], target)
    assert unmarked.reasons[UNDECIDED] == 2


def test_nothing_unclear_asks_nothing(tmp_path: Path) -> None:
    def never(hits: Sequence[Any]) -> list[Answer]:
        raise AssertionError("asked")

    source = write(tmp_path / "asked", (99, "ER", "a"), (99.5, "ER", "b"))
    done = Decider(Window(100, 200, OFF, ON), never).files([source], str(tmp_path / "kept"))
    assert done.reasons["recorded"] == 2 and not done.kept


def test_samples_find_what_was_recorded_within(tmp_path: Path) -> None:
    sure = write(tmp_path / "sure", *[(100.0 + n / 50, "", str(n)) for n in range(4000)])
    done = Decider(Window(100, 200, OFF, ON), lambda hits: [Answer(0)] * len(hits)).sample(sure)
    assert done.samples >= 400 and not done.inside


def test_runs_sort_more_than_fits(tmp_path: Path) -> None:
    """Nearly sorted lines, a few far too late, and more than the buffer holds."""
    rng = random.Random(1)
    lines = [b"%08d\n" % (n + rng.randrange(50) - (30_000 if n % 997 == 0 else 0))
             for n in range(100_000, 160_000)]  # fmt: skip
    made = runs.Runs(str(tmp_path / "run"), buffer=40_000)
    for start in range(0, len(lines), 700):
        made.add(lines[start : start + 700])
    runs.join(made.close(), str(tmp_path / "all"))
    found = (tmp_path / "all").read_bytes().removeprefix(gapfile.HEADER).splitlines(True)
    assert found == sorted(lines)


def test_a_silence_is_a_hole_only_where_the_log_is_busy() -> None:
    assert holes.longest_silence(1_000_000, 21_600) == 60
    assert holes.longest_silence(2_000, 21_600) > 1_000
    assert holes.longest_silence(0, 0) > 60


def test_marks_as_the_outage_has_them() -> None:
    at = {"before": 100.0, "after": 100.2}
    assert edge_of({"at": at, "marker": "x"}, "web1") == OFF == edge_of(at, "web1")
    assert edge_of({"at": {"before": None, "after": 100.2}}, "web1") == Edge(100.2, 100.2)
    assert edge_of(None, "web1") is None
    with pytest.raises(MatopsError, match="is not understood"):
        edge_of({"at": {"before": None, "after": None}}, "web1")


@pytest.mark.parametrize(
    ("begin", "end", "says"),
    [
        ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "in the future"),
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00Z", "has no zone"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "must come before"),
        ("", "", "no mark of tracking.off"),
    ],
)
def test_windows_that_cannot_be(begin: str, end: str, says: str) -> None:
    nothing = {"edge.off": None, "edge.on": None, "mode": None}
    with pytest.raises(UsageError, match=says):
        refuse_future(span_of([nothing], Typed(begin, end))[1])


def test_merging_keeps_equal_lines_of_two_servers(tmp_path: Path) -> None:
    label = gapstore.label_of(1_795_300_000, 1_795_300_600)
    folder = gapstore.folder_of(str(tmp_path), label)
    for server in ("web1", "web2"):
        source = write(tmp_path / "source", (100.0, "", "n=1"), (101.0, "", "n=2"))
        text = Path(source).read_bytes().replace(b"web1", server.encode())
        Path(source).write_bytes(text)
        gap = gapstore.write_gap(folder / f"{server}.gap", [source])
        gapstore.put_json(folder / f"{server}.json",
                          {"v": 1, "gap": gap, "reasons": {"replay": 2}, "expires": 5})  # fmt: skip
    wanted = {"web1": "a", "web2": "b"}
    made = gapstore.merge(str(tmp_path), label, ["web1", "web2"], wanted, 9.0)
    assert made["merged"]["hits"] == 4 and made["reasons"] == {"replay": 4}
    servers = [hit.server for _, hit in gapfile.read(folder / gapstore.MERGED)]
    assert servers == ["web1", "web2", "web1", "web2"]
    assert gapstore.look(str(tmp_path), label, wanted)
    assert not gapstore.look(str(tmp_path), label, {})
    piece = gapstore.piece(str(folder / "web2.gap"), 0)
    assert not piece["more"] and piece["next"] == (folder / "web2.gap").stat().st_size
    (folder / "web2.gap").write_bytes(b"damaged")
    with pytest.raises(MatopsError, match="the part of web2 is missing or damaged"):
        gapstore.merge(str(tmp_path), label, ["web1", "web2"], wanted, 9.0)
    (folder / "web3.gap.gz").write_bytes(gzip.compress(b"abc"))
    gapstore.arrived(str(tmp_path), label, "web3")
    assert (folder / "web3.gap").read_bytes() == b"abc"
    assert [each["expires"] for each in gapstore.listing(str(tmp_path))] == [9.0]
    gapstore.remove(str(tmp_path), [label])
    assert not folder.exists()


def test_kept_logs_outlive_the_rotation(tmp_path: Path) -> None:
    logs, root = tmp_path / "log", str(tmp_path / "kept")
    logs.mkdir()
    paths = [str(logs / name) for name in ("access.log", "access.log.1", "access.log.2.gz")]
    for path in paths:
        Path(path).write_text(path)
    done = keeping.hold(root, {paths[0]: paths}, 5.0)
    assert (done["held"], done["new"], done["copied"]) == (3, 3, 0)
    assert keeping.hold(root, {paths[0]: paths}, 5.0)["new"] == 0
    shutil.rmtree(logs)
    kept = keeping.listing(root)
    assert sorted(Path(each["path"]).read_text() for each in kept) == sorted(paths)
    assert all(os.path.dirname(each["path"]) == keeping.place(root, paths[0]) for each in kept)
    keeping.remove(root, [each["label"] for each in kept] + ["/etc/passwd"])
    assert not keeping.listing(root) and Path("/etc/passwd").exists()


@pytest.mark.parametrize(
    ("rule", "estimate", "verdict"),
    [
        (None, None, UNSURE),
        (Rotation(interval=86400, rotate=14), None, SURVIVES),
        (Rotation(interval=86400, rotate=2), None, LOST),
        (Rotation(by_size="size 100M", rotate=4), 86400.0, LOST),
        (Rotation(by_size="size 100M", rotate=4), 30 * 86400.0, SURVIVES),
        (Rotation(by_size="size 100M", rotate=4), 4 * 86400.0, UNSURE),
    ],
)
def test_whether_a_line_outlives_the_window(rule: Any, estimate: Any, verdict: str) -> None:
    kept = rule.kept if rule else None
    assert judge(rule, kept, estimate, 3 * 86400)[0] == verdict


def test_addresses_that_are_masked() -> None:
    tally = Tally()
    empty = [b""] * 100
    tally.columns(empty, empty, [b"192.0.%d.0" % n for n in range(100)], empty, compare=False)
    assert tally.visitors()["verdict"] == "masked"
    tally.columns([b""], [b""], [b"192.0.2.7"], [b""], compare=False)
    assert tally.visitors()["distinct"] == 101
