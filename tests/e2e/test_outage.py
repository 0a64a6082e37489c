"""A whole outage under traffic, fab killed in the middle of it again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Fab
from tests.e2e import outage_kit as kit
from tests.e2e.traffic import Answer
from tests.e2e.traffic_account import account
from tests.e2e.traffic_hits import API, UI
from tests.host import queue_kit
from tests.sandbox import Sandbox

ALERTS = "/root/alerts"


@pytest.fixture(scope="module")
def fab(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fab]:
    """A host with the queue in use and a newer release staged; pristine again afterwards."""
    sandbox.reset()
    plugin = queue_kit.REAL if queue_kit.real_source() else queue_kit.OURS
    queue_kit.install(sandbox, plugin)
    folder = tmp_path_factory.mktemp("outage")
    fab = kit.make_fab(sandbox, folder, f"alert_command: 'cat >> {ALERTS}'")
    kit.stage(fab)
    yield fab
    sandbox.reset()


def test_replay_the_deadline_and_the_way_back(fab: Fab, sandbox: Sandbox, tmp_path: Path) -> None:
    """The docroot is a link. Tracking goes off; the new files come; the deadline passes before a
    migration ran, so the watcher rolls back; it is killed, and rollback by hand ends it."""
    sandbox.exec("sh", "-c", "mv /var/www/html /var/www/real && ln -s real /var/www/html")
    before = kit.everything(sandbox)
    with kit.traffic(sandbox, tmp_path) as traffic:
        kit.killed(fab, "offline", "--tracking", "replay", *kit.QUICK, at="queue.disable: set")
        kit.killed(fab, "offline", *kit.QUICK, at=r"tracking.off: set")
        kit.good(fab("offline", *kit.QUICK))
        off = _mark(sandbox, "edge.off")
        kit.killed(fab, "update", "--yes", at="release.install: prove")
        late = fab("offline", "--max-outage", "2s", *kit.QUICK)
        assert late.code == 0, late.all
        _until(sandbox, f"cat {ALERTS}", "the deadline is past: rolling back")
        _until(sandbox, f"cat {kit.STATE}/jobs/outage.watch*/log", "release.back: exchange")
        sandbox.exec("sh", "-c", "pkill -KILL -f '[r]ollback --yes'")
        kit.good(fab("rollback", "--yes"))
        on = _kept(sandbox)["notes"]["edge.on"]
        traffic.send(5)
    assert kit.record(sandbox) == "" and kit.everything(sandbox) == before
    sandbox.exec("sh", "-c", "rm /var/www/html && mv /var/www/real /var/www/html")
    book = account(sandbox.sql, traffic.run, traffic.answers())
    assert not book.doubled and not book.strange, book.line()
    # Outside the edges all is recorded, inside nothing; what was in flight may be either.
    first, last = off["at"]["before"], on["at"]["after"]
    outside = [n for n, a in book.sent.items() if _end(a) < first or a.sent > last]
    inside = [n for n, a in book.sent.items() if a.sent > off["at"]["after"]
              and _end(a) < on["at"]["before"]]  # fmt: skip
    assert not set(outside) - set(book.rows), book.line()
    assert inside and not set(inside) & set(book.rows), book.line()


def _end(answer: Answer) -> float:
    return answer.sent + answer.seconds


def _mark(sandbox: Sandbox, name: str) -> dict[str, dict[str, float]]:
    mark: dict[str, dict[str, float]] = json.loads(kit.record(sandbox))["notes"][name]
    return mark


def _kept(sandbox: Sandbox) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    found = sandbox.exec("sh", "-c", f"cat $(ls -t {kit.STATE}/outages/*.json | head -1)").stdout
    data: dict[str, dict[str, dict[str, dict[str, float]]]] = json.loads(found)
    return data


def _until(sandbox: Sandbox, command: str, words: str, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while words not in sandbox.exec("sh", "-c", command, check=False).stdout:
        assert time.monotonic() < until, f"never told: {words}"
        time.sleep(0.3)


def test_the_queue_carries_the_outage(fab: Fab, sandbox: Sandbox, tmp_path: Path) -> None:
    """Every hit is answered and later recorded, once; fab is killed in every phase."""
    old = kit.old_files(sandbox)
    with kit.traffic(sandbox, tmp_path) as traffic:
        kit.killed(fab, "offline", "--max-outage", "4h", *kit.QUICK, at="maintenance.on: set")
        kit.killed(fab, "offline", "--max-outage", "4h", *kit.QUICK, at="queue.hold: set")
        kit.good(fab("offline", "--max-outage", "4h", *kit.QUICK))
        new = ("update", "--yes", "--activate-new-plugins")
        kit.killed(fab, *new, at="release.install: exchange")
        kit.killed(fab, *new, at=r"\[3 / \d+\]")
        kit.good(fab(*new))
        refused = fab("rollback", "--yes")
        assert refused.code == 3 and "cannot downgrade its schema" in refused.err, refused.all
        kit.good(fab("recover", "--no-archive", "--yes"))
    assert kit.record(sandbox) == ""
    book = account(sandbox.sql, traffic.run, traffic.answers())
    assert not [a for a in book.answers if a.numbers and not a.ok], book.line()
    assert not book.lost and not book.doubled and not book.strange, book.line()
    assert not book.misplaced(2.0), book.line()
    ui = [a for a in book.answers if a.kind in (UI, API)]
    assert {a.status for a in ui} <= {200, 503}, ui
    assert {a.body for a in ui if a.status == 503} == {"maintenance"}
    assert sandbox.installed_version == sandbox.release_version
    assert kit.left_over(sandbox, old) == []
    tables = {row[0] for row in sandbox.sql("show tables in matomo")}
    new_ones = {"matomo_log_bot_request", "matomo_annotations", "matomo_archiving_metrics"}
    assert new_ones <= tables
    print(book.line())
