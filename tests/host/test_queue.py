"""The tracking queue on a real host: hold, release, drain, switch; our stand-in, and the real
plugin where MATOPS_QUEUEDTRACKING names a copy of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo.site import Site
from matops.runbook.outage import Outage
from matops.runbook.queue_drain import DrainQueue
from matops.runbook.queue_drain_there import Drain
from matops.runbook.queue_hold import HoldQueue, site_facts
from matops.runbook.queue_release import ReleaseQueue
from matops.runbook.queue_switch import SwitchQueue
from matops.runbook.step import Evidence, Step
from tests.conftest import Fab, SiteFactory
from tests.host import queue_kit as kit
from tests.host.queue_kit import MYSQL, REAL, REDIS
from tests.sandbox import Sandbox

CRON = "/etc/cron.d/queue"
LINE = "* * * * * www-data cd /var/www/html && php console queuedtracking:process -q\n"
CONFIG = "/var/www/html/config/config.ini.php"


@pytest.fixture(scope="module", params=[kit.OURS, REAL])
def plugin(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[str]:
    """Installed once for all of these tests; the host is as before afterwards."""
    if request.param == REAL:
        kit.needs_real()
    kit.install(sandbox, request.param)
    yield request.param
    sandbox.reset()


@pytest.fixture
def box(plugin: str, sandbox: Sandbox) -> Sandbox:
    """The host with an empty queue: on, processed by tracking requests, one worker, Redis."""
    kit.empty(sandbox)
    kit.settings(sandbox, backend=REDIS, queueEnabled=1, processDuringTrackingRequest=1,
                 numQueueWorkers=1, numRequestsToProcess=25)  # fmt: skip
    return sandbox


@pytest.fixture
def site(box: Sandbox, site_factory: SiteFactory) -> Site:
    """The installation there."""
    return site_factory()


def nothing(line: str) -> None:
    """Nobody listens."""


def do(step: Step) -> Evidence:
    """Look, act, verify."""
    for action in step.look().actions:
        step.act(action)
    return step.verify()


def read(sandbox: Sandbox, path: str) -> str:
    """A file of the host, its owner and mode."""
    return sandbox.exec("sh", "-c", f"cat {path}; stat -c '%U %a' {path}").stdout


def test_hold_and_release_put_everything_back_to_the_letter(
    fab: Fab, box: Sandbox, site: Site
) -> None:
    (box.root / CRON.lstrip("/")).write_text(LINE)
    worker = "cd /var/www/html; exec php console queuedtracking:process -c 0 >/dev/null 2>&1"
    box.exec("setsid", "-f", "sh", "-c", worker, user="www-data")
    before = [read(box, CONFIG), read(box, CRON)]
    planned = [action.payload for action in HoldQueue(site, nothing).look().actions]
    assert planned == ["config", "schedules", "processes"]
    assert [read(box, CONFIG), read(box, CRON)] == before
    held = fab("queue.hold", "--wait", "1s", "--window", "1h")
    assert held.code == 0 and "probes through" in held.out and "all stay" in held.out, held.all
    assert LINE not in read(box, CRON).splitlines(keepends=True)
    had, probes = kit.recorded(box), kit.depth(box)
    assert set(kit.hits(box, 30)) == {"200"}
    assert kit.depth(box) == probes + 30 and kit.recorded(box) == had
    assert not HoldQueue(site, nothing).look().actions
    said: list[str] = []
    do(ReleaseQueue(site, said.append))
    assert any("start it again as www-data: php console" in line for line in said)
    assert [read(box, CONFIG), read(box, CRON)] == before
    kit.hits(box, 1)
    kit.until(lambda: kit.depth(box) < 25)  # by that very request, once it is answered
    assert kit.recorded(box) > had
    box.exec("rm", "-f", CRON)


def test_what_was_found_is_put_back_not_one_also_after_a_kill(box: Sandbox, site: Site) -> None:
    path = box.root / CONFIG.lstrip("/")
    was = path.read_text()
    odd = "[QueuedTracking]\n; ours\nprocessDuringTrackingRequest  =  1 ; as ever"
    path.write_text(was.replace("[QueuedTracking]", odd))
    before = path.read_text()
    first = HoldQueue(site, nothing)
    first.act(first.look().actions[0])  # killed here
    assert path.read_text() != before
    second = HoldQueue(site, nothing)
    assert [a.payload for a in second.look().actions] == ["prove"]
    second.verify()
    do(ReleaseQueue(site, nothing))
    assert path.read_text() == before
    assert not Outage(site).read()["found"]
    path.write_text(was)


def test_release_leaves_what_somebody_else_set_meanwhile(box: Sandbox, site: Site) -> None:
    said: list[str] = []
    step = HoldQueue(site, nothing)
    step.act(step.look().actions[0])
    kit.console(box, "config:set", "QueuedTracking.processDuringTrackingRequest=2")
    do(ReleaseQueue(site, said.append))
    assert any("somebody set it meanwhile" in line for line in said)
    assert "processDuringTrackingRequest = 2" in read(box, CONFIG)
    kit.console(box, "config:delete", "QueuedTracking.processDuringTrackingRequest")


def test_others_that_process_it_are_noticed(box: Sandbox, site: Site) -> None:
    found = site.ask("matomo.queue_probe:prove")  # the tracker itself
    assert found["queued"] and found["stayed"] is False
    had = kit.recorded(box)
    kit.console(box, "queuedtracking:process", "--force-num-requests-process-at-once=1")
    assert kit.depth(box) == 0 and kit.recorded(box) == had  # probes record nothing
    assert box.sql("select count(*) from matomo.matomo_tracking_failure") == [["0"]]
    kit.redis(box, "set", "QueuedTrackingLock0", "elsewhere", "EX", "99")  # an unknown server
    with pytest.raises(MatopsError, match="still locked by a worker"):
        HoldQueue(site, nothing, wait=0)._wait_for_locks()
    kit.redis(box, "del", "QueuedTrackingLock0")


@pytest.mark.parametrize("backend", [REDIS, MYSQL])
def test_drain_to_nothing_partial_batches_too(
    fab: Fab, box: Sandbox, site: Site, backend: str
) -> None:
    kit.settings(box, backend=backend, numQueueWorkers=3, processDuringTrackingRequest=0)
    had = kit.recorded(box)
    kit.hits(box, 38)
    kit.hits(box, 2, post=True)
    seen = site_facts(site)
    assert (seen["sets"], seen["requests"], len(seen["lists"])) == (40, 40, 3)
    if backend == REDIS:
        kit.aged(site)
        ran = fab("queue.drain")
        assert ran.code == 0 and "40 requests processed" in ran.out, ran.all
    else:
        drain = Drain(site, nothing, below=1)  # (0: what is fresh would be let be)
        assert "1 were asked for" in drain.run() and drain.progress.requests >= 39
        Drain(site, nothing).run()
    assert kit.depth(box, backend, 3) == 0 and kit.recorded(box) == had + 40
    assert kit.twice(box) == 0
    assert not DrainQueue(site, nothing, nothing).look().actions


def test_drain_only_so_far_and_not_while_tracking_is_off(box: Sandbox, site: Site) -> None:
    kit.settings(box, processDuringTrackingRequest=0)
    kit.hits(box, 40)
    assert not DrainQueue(site, nothing, nothing, below=40).look().actions
    Drain(site, nothing, below=20).run()
    assert site.ask("matomo.queue:look")["depth"] == kit.depth(box) == 15  # less one batch
    path = box.root / CONFIG.lstrip("/")
    was = path.read_text()
    path.write_text(was + "\n[Tracker]\nrecord_statistics = 0\n")
    with pytest.raises(Refused, match="record_statistics = 0"):
        DrainQueue(site, nothing, nothing).look()
    assert HoldQueue(site, nothing).look().skip
    assert "record_statistics" in site.ask("matomo.queue:look")["errors"][0]
    path.write_text(was)


def test_off_on_and_back(box: Sandbox, site: Site) -> None:
    before, had = read(box, CONFIG), kit.recorded(box)
    assert "past the queue" in do(SwitchQueue(site, nothing, False)).line
    kit.hits(box, 2)
    assert kit.recorded(box) == had + 2 and kit.depth(box) == 0
    assert HoldQueue(site, nothing).look().skip
    assert "through the queue" in do(SwitchQueue(site, nothing, True)).line
    assert kit.depth(box) == 1  # its probe
    do(SwitchQueue(site, nothing, None))
    assert read(box, CONFIG) == before
    assert not SwitchQueue(site, nothing, None).look().actions


def test_a_plugin_that_is_not_active_or_not_there(box: Sandbox, site: Site) -> None:
    """The last one: the plugin is gone after it."""
    kit.console(box, "plugin:deactivate", "QueuedTracking")
    with pytest.raises(Refused, match="installed, not active"):
        SwitchQueue(site, nothing, True).look()
    assert HoldQueue(site, nothing).look().skip
    do(SwitchQueue(site, nothing, True, activate=True))
    do(SwitchQueue(site, nothing, None))
    kit.uninstall(box)
    with pytest.raises(Refused, match="QueuedTracking is not installed"):
        SwitchQueue(site, nothing, True).look()
    for step in (HoldQueue(site, nothing), DrainQueue(site, nothing, nothing)):
        look = step.look()
        assert look.skip and "not installed" in look.because
