"""The phases: which steps, in which order, on which servers."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook import outage_state, phases
from matops.runbook.archiver_stop import ArchiverStop
from matops.runbook.phases import Offline, Rollback, Servers, Update, Voice
from matops.runbook.step import Step
from matops.runbook.tracking_mode import QUEUE, REPLAY, Decision


def site(name: str) -> Site:
    """One that nobody asks anything."""
    return cast(Site, SimpleNamespace(host=SimpleNamespace(name=name)))


WEB = [site("web1"), site("web2")]
SERVERS = Servers(WEB, [*WEB, site("cron1")])
VOICE = Voice(lambda line: None, lambda text: None)


def stops(sites: Sequence[Site]) -> list[Step]:
    return [ArchiverStop(each, VOICE.say) for each in sites]


def names(steps: Sequence[Step]) -> list[str]:
    """``name@host``, in order."""
    return [f"{step.name}@{step.site.host.name}" for step in steps]


def offline(mode: str, **more: Any) -> list[str]:
    decision = Decision(mode, "why", bool(more.pop("switch_on", False)))
    return names(phases.offline(SERVERS, VOICE, Offline(decision, 14400, **more), stops))


def test_each_switch_is_made_on_every_server_before_the_next_one() -> None:
    everywhere = ("web1", "web2", "cron1")
    assert offline(QUEUE) == [
        *(f"outage.begin@{host}" for host in everywhere),
        "maintenance.on@web1", "maintenance.on@web2",
        *(f"archiver.stop@{host}" for host in everywhere),
        *(f"queue.hold@{host}" for host in everywhere),
    ]  # fmt: skip


def test_with_replay_the_queue_is_emptied_and_off_before_the_tracker_is() -> None:
    found = offline(REPLAY)
    assert found[-7:] == [
        "queue.hold@cron1", "queue.drain@web1", "queue.disable@web1", "queue.disable@web2",
        "queue.drain@web1", "tracking.off@web1", "tracking.off@web2",
    ]  # fmt: skip


def test_a_queue_that_is_off_is_switched_on_before_it_is_held() -> None:
    found = offline(QUEUE, switch_on=True)
    assert found.index("queue.enable@web2") < found.index("queue.hold@web1")


def test_tables_are_optimized_only_when_asked_while_the_queue_holds_and_then_it_is_drained() -> (
    None
):
    assert "db.optimize@web1" not in offline(QUEUE)
    found = offline(QUEUE, optimize=["--until", "05:30"])
    assert found[-3:] == ["queue.hold@cron1", "db.optimize@web1", "queue.drain@web1"]


def test_all_trees_are_built_before_the_first_is_exchanged() -> None:
    found = names(phases.update(SERVERS, VOICE, Update()))
    assert found == [
        "outage.check@web1", "outage.check@web2", "outage.begin@web1", "config.backup@web1",
        "config.backup@web2", "update.picture@web1", "release.build@web1", "release.build@web2",
        "release.install@web1", "release.install@web2", "core.update@web1",
    ]  # fmt: skip


def test_rollback_asks_first_and_puts_back_everything_that_offline_switched() -> None:
    steps = names(phases.rollback(SERVERS, VOICE, Rollback(), {"found": {}}))
    assert steps[0] == "rollback.check@web1"
    back = {"maintenance.on": "maintenance.off", "archiver.stop": "archiver.start",
            "queue.hold": "queue.release", "queue.enable": "queue.put-back",
            "queue.disable": "queue.put-back", "tracking.off": "tracking.on",
            "outage.begin": "outage.end"}  # fmt: skip
    switched = [*offline(REPLAY), *offline(QUEUE, switch_on=True)]
    for name in switched:
        step, _, host = name.partition("@")
        assert step not in back or f"{back[step]}@{host}" in steps, name
    order = ["release.back", "config.back", "tracking.on", "maintenance.off", "archiver.start",
             "queue.drain", "queue.put-back", "queue.release", "outage.prove",
             "outage.end"]  # fmt: skip
    places = [steps.index(f"{name}@web1") for name in order]
    assert places == sorted(places)
    assert steps[-1] == "outage.end@web1"  # the leader's: until then it can be typed again


def test_a_queue_that_was_switched_on_for_the_outage_is_emptied_before_it_goes_off() -> None:
    record = {"found": {"queue.enabled": None}}
    steps = names(phases.rollback(SERVERS, VOICE, Rollback(), record))
    queue = [name for name in steps if name.startswith("queue.") and name.endswith("@web1")]
    assert queue == [
        "queue.drain@web1", "queue.put-back@web1", "queue.drain@web1", "queue.release@web1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "notes", "missing"),
    [
        ({}, {}, "maintenance.on, tracking.off"),
        ({"maintenance": {}}, {"tracking_mode": QUEUE}, "queue.hold"),
        ({"maintenance": {}}, {"tracking_mode": QUEUE, "queue.held": ""}, "queue.hold"),
        ({"maintenance": {}}, {"tracking_mode": REPLAY}, "tracking.off"),
    ],
)
def test_update_wants_offline_to_be_done(
    found: dict[str, Any], notes: dict[str, Any], missing: str
) -> None:
    with pytest.raises(Refused, match=missing):
        outage_state.demand_offline(WEB[0], {"found": found, "notes": notes})
    done = {"found": {"maintenance": {}, "tracking": {}}, "notes": {"tracking_mode": REPLAY}}
    outage_state.demand_offline(WEB[0], done)
