"""The tracking queue when things break: Redis, workers, jobs, a request set that kills."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo.site import Site
from matops.runbook.queue_drain import DrainQueue
from matops.runbook.queue_drain_there import Drain
from matops.runbook.queue_hold import HoldQueue
from matops.runbook.queue_switch import SwitchQueue
from tests.conftest import Fab, SiteFactory, one_line
from tests.host import queue_kit as kit
from tests.sandbox import Sandbox

PASSWORD = "g3heim-und-lang"


@pytest.fixture(scope="module")
def installed(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Our stand-in, once for all of these tests; requests do not process the queue."""
    kit.install(sandbox, processDuringTrackingRequest=0)
    yield sandbox
    sandbox.reset()


@pytest.fixture
def box(installed: Sandbox) -> Sandbox:
    """With an empty queue."""
    kit.empty(installed)
    return installed


@pytest.fixture
def site(box: Sandbox, site_factory: SiteFactory) -> Site:
    """The installation there."""
    return site_factory()


def nothing(line: str) -> None:
    """Nobody listens."""


def test_a_redis_that_is_down_is_one_line(fab: Fab, box: Sandbox, site: Site) -> None:
    box.service("redis", "stop")
    try:
        ran = fab("queue.status")
        assert ran.code == 1 and "Redis at 127.0.0.1:6379 cannot be reached" in one_line(ran)
        for step in (HoldQueue(site, nothing), DrainQueue(site, nothing, nothing)):
            with pytest.raises(MatopsError, match="cannot be reached"):
                step.look()
        seen = site.ask("matomo.queue:look")
        assert seen["depth"] is None and "cannot be reached" in seen["errors"][0]
        off = SwitchQueue(site, nothing, False)  # the cure while every hit is answered 500
        look = off.look()
        assert "not seen now" in look.notes[0]
        off.act(look.actions[0])
        assert "not proven" in off.verify().line and kit.hits(box, 1) == ["200"]
        with pytest.raises(MatopsError, match="cannot be reached"):
            SwitchQueue(site, nothing, None).look()
    finally:
        box.service("redis", "start")
    back = SwitchQueue(site, nothing, None)
    back.act(back.look().actions[0])
    assert "through the queue" in back.verify().line


def test_on_is_taken_back_where_hits_are_not_queued(box: Sandbox, site: Site) -> None:
    kit.settings(box, queueEnabled=0)
    try:
        step = SwitchQueue(site, nothing, True)
        step.act(step.look().actions[0])
        kit.redis(box, "config", "set", "maxmemory", "1")
        with pytest.raises(MatopsError, match="is not queued") as caught:
            step.verify()
        assert "taken back" in str(caught.value.state)
        assert not SwitchQueue(site, nothing, None).look().actions
        assert kit.hits(box, 1) == ["200"]
    finally:
        kit.redis(box, "config", "set", "maxmemory", "0")
        kit.settings(box, queueEnabled=1)


def test_a_full_redis_is_said_and_drained_once_it_has_room(box: Sandbox, site: Site) -> None:
    kit.hits(box, 3)
    kit.redis(box, "config", "set", "maxmemory", "1")
    try:
        assert "no hits and no locks" in DrainQueue(site, nothing, nothing).look().notes[0]
        with pytest.raises(MatopsError, match="nothing is processed: Redis is full") as caught:
            Drain(site, nothing, below=1).run()  # (0: what is fresh would be let be)
        assert "CONFIG SET maxmemory" in str(caught.value.next)
    finally:
        kit.redis(box, "config", "set", "maxmemory", "0")
    Drain(site, nothing, below=1).run()
    assert kit.depth(box) <= 1


def test_a_redis_that_would_lose_hits_is_refused(box: Sandbox, site: Site) -> None:
    kit.redis(box, "config", "set", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(Refused, match="throws waiting hits away"):
            HoldQueue(site, nothing).look()
        assert "throws waiting" in site.ask("matomo.queue:look")["errors"][0]
        kit.redis(box, "config", "set", "maxmemory-policy", "noeviction")
        kit.hits(box, 30)
        used = re.search(r"used_memory:(\d+)", kit.redis(box, "info", "memory"))
        assert used
        kit.redis(box, "config", "set", "maxmemory", str(int(used[1]) + 200_000))
        with pytest.raises(Refused, match=r"no room for 30 d: up to \d+ requests"):
            HoldQueue(site, nothing, window=30 * 86400).look()
        notes = HoldQueue(site, nothing, window=30 * 86400, anyway=True).look().notes
        assert any("no room for" in note for note in notes)
    finally:
        kit.redis(box, "config", "set", "maxmemory", "0")
        kit.redis(box, "config", "set", "maxmemory-policy", "noeviction")


def test_redis_password_is_used_and_never_shown(fab: Fab, box: Sandbox, site: Site) -> None:
    kit.redis(box, "config", "set", "requirepass", PASSWORD)
    try:
        with pytest.raises(MatopsError, match="NOAUTH"):
            site.ask("matomo.queue:status")
        kit.settings(box, redisPassword=PASSWORD)
        found = site.ask("matomo.queue:status")
        assert found["sets"] == 0 and PASSWORD not in str(found)
        kit.hits(box, 3)
        kit.aged(site)
        ran = fab("queue.drain")
        assert site.ask("matomo.queue:status")["sets"] == 0
        assert ran.code == 0 and PASSWORD not in ran.all, ran.all
        jobs = box.exec("sh", "-c", f"grep -rl '{PASSWORD}' /var/lib/matops || true").stdout
        assert jobs == ""
    finally:
        box.exec("redis-cli", "-a", PASSWORD, "config", "set", "requirepass", "", check=False)
        kit.settings(box, redisPassword="")


def test_killed_workers_and_jobs_lose_and_double_nothing(
    fab: Fab, box: Sandbox, site: Site
) -> None:
    had = kit.recorded(box)
    kit.hits(box, 100)
    kit.aged(site)
    running = subprocess.Popen(
        fab.command("queue.drain"), env=fab.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    kit.until(lambda: kit.recorded(box) > had or running.poll() is not None, 150)
    assert running.poll() is None, running.communicate()[0]  # it is in the middle
    box.exec("pkill", "-KILL", "-f", "queuedtracking:process|matops-.*pyz queue.drain")
    assert running.wait(60) == 4  # unknown: the job ended without an exit code
    left = kit.depth(box)
    assert 0 < left < 100
    kit.redis(box, "del", "QueuedTrackingLock0")  # it would run out by itself, in a minute
    ran = fab("queue.drain", "--take-over")
    assert ran.code == 0, ran.all
    assert kit.depth(box) == 0 and kit.recorded(box) == had + 100 and kit.twice(box) == 0


def test_a_set_that_ends_every_worker_is_named_and_set_aside(
    fab: Fab, box: Sandbox, site: Site
) -> None:
    kit.console(box, "config:set", "QueuedTracking.poison=1")
    had = kit.recorded(box)
    kit.hits(box, 3)
    page = "http://127.0.0.1/matomo.php?idsite=1&rec=1&url=http://example.org/p/x%3Fpoison=1"
    box.exec("curl", "-s", "-o", "/dev/null", "-H", f"Host: {kit.HOST}", page)
    kit.hits(box, 2)
    locks = threading.Event()

    def forget() -> None:  # locks of dead workers, which else live for half a minute each
        while not locks.is_set():
            if "queuedtracking:process" not in box.exec("ps", "ax").stdout:
                kit.redis(box, "del", "QueuedTrackingLock0")
            time.sleep(0.3)

    kit.aged(site)
    helper = threading.Thread(target=forget)
    helper.start()
    try:
        ran = fab("queue.drain")
        assert ran.code == 1 and "list 0 does not move" in ran.all, ran.all
        assert "http://example.org/p/x" in ran.all and "queue.set-aside" in ran.all
        assert kit.recorded(box) == had + 3 and kit.depth(box) == 3
        assert fab("queue.set-aside").code == 3  # asks first
        aside = fab("queue.set-aside", "--yes")
        assert aside.code == 0 and "/queue-set-aside/list0-" in aside.out, aside.all
        assert Drain(site, nothing).run()
    finally:
        locks.set()
        helper.join()
        kit.console(box, "config:delete", "QueuedTracking.poison")
    assert kit.depth(box) == 0 and kit.recorded(box) == had + 5 and kit.twice(box) == 0


def test_setting_aside_in_a_table(box: Sandbox, site: Site) -> None:
    kit.settings(box, backend="mysql")
    kit.hits(box, 2)
    first = site.ask("matomo.queue:first_of", number=0)
    answer = site.ask("matomo.queue_remove:remove_first", number=0, folder="/tmp/aside")
    assert answer["what"] == first and answer["file"].startswith("/tmp/aside/list0-")
    assert kit.depth(box, "mysql") == 1
    assert site.ask("matomo.queue:first_of", number=0) != first
    assert box.sql("select count(*) from matomo.matomo_queuedtracking_queue") == [["0"]]
    kit.settings(box, backend="redis")
