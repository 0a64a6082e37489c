"""A whole outage under traffic, fab killed in the middle of it again and again."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Fab
from tests.e2e import outage_kit as kit
from tests.e2e.traffic import Answer
from tests.e2e.traffic_account import account
from tests.e2e.traffic_hits import API, UI, queueable
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
    fab = kit.make_fab(
        sandbox, folder,
        f"docroot: /var/www/html\nalert_command: 'cat >> {ALERTS}'\nlock_stale_after: 15s",
    )  # fmt: skip
    kit.stage(fab)
    yield fab
    sandbox.reset()


def test_replay_the_deadline_and_the_way_back(fab: Fab, sandbox: Sandbox, tmp_path: Path) -> None:
    """The docroot is a link. Tracking goes off; the new files come; the deadline passes before a
    migration ran, so the watcher rolls back; it is killed, and rollback by hand ends it."""
    sandbox.exec("sh", "-c", "mv /var/www/html /var/www/real && ln -s real /var/www/html")
    before, new = kit.everything(sandbox), sandbox.release_version
    says = functools.partial(kit.config_says, sandbox)
    begin = ("offline", "--tracking", "replay", "--max-outage", "10m", *kit.QUICK)
    with kit.traffic(sandbox, tmp_path, rate=8) as traffic:
        kit.killed(fab, *begin, when=says("^record_statistics"))
        kit.good(fab(*begin))
        off = _mark(sandbox, "edge.off")
        kit.killed(fab, "update", "--yes", when=lambda: _served(sandbox) == new)
        _let_the_deadline_pass(sandbox)
        _until(lambda: _served(sandbox) != new)
        sandbox.exec("sh", "-c", "pkill -KILL -f '[r]ollback --yes'")
        assert "rolling back" in sandbox.exec("cat", ALERTS).stdout
        kit.good(fab("rollback", "--yes"))
        on = _kept(sandbox)["notes"]["edge.on"]
        traffic.send(5)
    kit.process_the_rest(sandbox)
    assert kit.record(sandbox) == "" and kit.everything(sandbox) == before
    sandbox.exec("sh", "-c", "rm /var/www/html && mv /var/www/real /var/www/html")
    sandbox.exec("service", "apache2", "reload")  # PHP's caches know the link's other end
    book = account(sandbox.sql, traffic.run, traffic.answers())
    assert not book.doubled and not book.strange, book.line()
    # Outside the edges all is recorded, inside nothing; what was in flight may be either.
    first, last = off["at"]["before"], on["at"]["after"]
    outside = [n for n, a in book.sent.items()
               if a.ok and queueable(a.cid) and (_end(a) < first or a.sent > last)]  # fmt: skip
    inside = [n for n, a in book.sent.items() if a.sent > off["at"]["after"]
              and _end(a) < on["at"]["before"]]  # fmt: skip
    lost = [(n, book.sent[n].kind, book.sent[n].status, book.sent[n].sent - first,
             book.sent[n].sent - last) for n in outside if n not in book.rows]  # fmt: skip
    assert not lost, (book.line(), lost)
    assert inside and not set(inside) & set(book.rows), book.line()


def _end(answer: Answer) -> float:
    return answer.sent + answer.seconds


def _mark(sandbox: Sandbox, name: str) -> dict[str, dict[str, float]]:
    mark: dict[str, dict[str, float]] = json.loads(kit.record(sandbox))["notes"][name]
    return mark


def _let_the_deadline_pass(sandbox: Sandbox) -> None:
    path = next(sandbox.root.glob(f"{kit.STATE[1:]}/outage.json"))
    data = json.loads(path.read_text())
    data["notes"]["deadline"]["at"] = time.time() - 1
    path.write_text(json.dumps(data))


def _kept(sandbox: Sandbox) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    found = sandbox.exec("sh", "-c", f"cat $(ls -t {kit.STATE}/outages/*.json | head -1)").stdout
    data: dict[str, dict[str, dict[str, dict[str, float]]]] = json.loads(found)
    return data


def _served(sandbox: Sandbox) -> str:
    """The version of the files in the docroot; '' in the instant of the exchange."""
    words = f"sed -n \"s/.*VERSION = '\\(.*\\)';/\\1/p\" {sandbox.docroot}/core/Version.php"
    return sandbox.exec("sh", "-c", words, check=False).stdout.strip()


def _until(done: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def test_the_queue_carries_the_outage(fab: Fab, sandbox: Sandbox, tmp_path: Path) -> None:
    """Every hit is answered and later recorded, once; fab is killed in every phase."""
    old, says = kit.old_files(sandbox), functools.partial(kit.config_says, sandbox)
    with kit.traffic(sandbox, tmp_path) as traffic:
        begin = ("offline", "--max-outage", "4h", *kit.QUICK)
        kit.killed(fab, *begin, when=says("^maintenance_mode"))
        kit.good(fab(*begin))
        new = ("update", "--yes", "--activate-new-plugins")
        kit.killed(fab, *new, when=lambda: _served(sandbox) == sandbox.release_version)
        kit.killed(fab, *new, when=lambda: _annotations(sandbox))
        kit.good(fab(*new))
        refused = fab("rollback", "--yes")
        assert refused.code == 3 and "cannot downgrade its schema" in refused.err, refused.all
        kit.good(fab("recover", "--no-archive", "--yes"))
    kit.process_the_rest(sandbox)
    assert kit.record(sandbox) == ""
    book = account(sandbox.sql, traffic.run, traffic.answers())
    assert not [a for a in book.answers if a.numbers and not a.ok], book.line()
    # QueuedTracking itself loses what is not UTF-8, at any time: exactly those, and no other.
    odd = {n for n, a in book.sent.items() if not queueable(a.cid)}
    lost = [(n, a.kind, a.status, a.body, a.sent, a.seconds)
            for n in book.lost if n not in odd for a in [book.sent[n]]]  # fmt: skip
    assert not lost, (book.line(), lost)
    assert not odd & set(book.rows)
    assert not book.doubled and not book.strange, book.line()
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


def _annotations(sandbox: Sandbox) -> bool:
    """The update has come to one of its first new tables."""
    return bool(sandbox.sql("show tables in matomo like 'matomo_annotations'"))
