"""Where an outage stands by its record, and what may be typed then. Pure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook import outage_state, recovery
from matops.runbook.rollback import backup_to_restore
from matops.runbook.tracking_mode import QUEUE, REPLAY

SITE = cast(Site, SimpleNamespace(host=SimpleNamespace(name="web1")))
OFF, ON = {"at": {"before": 1.0}, "marker": "a"}, {"at": {"after": 60.0}, "marker": "b"}


def record(*found: str, **notes: Any) -> dict[str, Any]:
    keys = {"mode": "tracking_mode", "off": "edge.off", "on": "edge.on", "held": "queue.held",
            "until": "archive.until", "backup": "config_backup"}  # fmt: skip
    return {"began": "2026-11-22T01:00:00+00:00", "found": {key: {} for key in found},
            "notes": {keys.get(k, k): v for k, v in notes.items()}}  # fmt: skip


CLOSED = record("maintenance", "tracking", mode=REPLAY, off=OFF)
HELD = record("maintenance", "queue", mode=QUEUE, held="2026-…")


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (record(), "offline, which goes on; or rollback, which closes the record"),
        (record("maintenance", mode=QUEUE), "offline, which goes on (queue.hold); or rollback"),
        (record("maintenance", mode=REPLAY), "offline, which goes on (tracking.off); or rollback"),
        (CLOSED, "update; or rollback, which"),
        (HELD, "update; or rollback, which"),
        (record("maintenance", "install", mode=QUEUE, held="x"), "update, which goes on; or roll"),
        (record("maintenance", "install", mode=QUEUE, held="x", update={"proved": ""}),
         "update, which goes on with core:update"),
        (record("maintenance", "install", mode=QUEUE, update={"proved": "5.8.0"}), "recover"),
        (record(mode=QUEUE, until=5.0), "recover, which goes on"),
        (record("install", mode=REPLAY, off=OFF, on=ON), "recover, which goes on"),
        (record(mode=QUEUE, ending="rollback"), "rollback, which goes on"),
    ],
)  # fmt: skip
def test_what_comes_next(data: dict[str, Any], step: str) -> None:
    assert outage_state.next_step(data).startswith(step)


def test_an_outage_that_is_being_ended_is_not_begun_again() -> None:
    # A second tracking.off would write over the marks of the first gap: its hits would be lost.
    gone_on = record("install", mode=REPLAY, off=OFF, on=ON)
    for data in (gone_on, record(mode=QUEUE, until=5.0)):
        with pytest.raises(Refused, match="is being ended") as caught:
            outage_state.demand_not_ending(SITE, data)
        assert "recover again" in caught.value.line()
        with pytest.raises(Refused, match="is being ended"):
            outage_state.demand_offline(SITE, data)
    for data in (record(), CLOSED, HELD, record("tracking", off=OFF, on=ON)):
        outage_state.demand_not_ending(SITE, data)


@pytest.mark.parametrize(
    ("data", "asked", "why"),
    [
        (CLOSED, QUEUE, "the gap has begun"),
        (record("maintenance", "install", mode=QUEUE), REPLAY, "update has begun"),
        (record("maintenance", mode=QUEUE, update={"proved": ""}), REPLAY, "update has begun"),
        (CLOSED, REPLAY, ""),
        (CLOSED, "", ""),
        (HELD, REPLAY, ""),
        (record("maintenance", mode=REPLAY), QUEUE, ""),
        (record(), QUEUE, ""),
    ],
)
def test_who_keeps_the_hits_is_not_changed_once_hits_depend_on_it(
    data: dict[str, Any], asked: str, why: str
) -> None:
    if not why:
        return outage_state.demand_same_mode(SITE, data, asked)
    with pytest.raises(Refused, match=why):
        outage_state.demand_same_mode(SITE, data, asked)
    return None


def test_other_servers_are_looked_at_too() -> None:
    other = record("maintenance")
    with pytest.raises(Refused, match=r"queue\.hold"):
        outage_state.demand_offline(SITE, other, QUEUE)
    outage_state.demand_offline(SITE, record("maintenance", held="x"), QUEUE)


def test_the_configuration_is_put_back_once_and_only_after_an_exchange() -> None:
    assert backup_to_restore(record(backup="b1")) == ""  # edits since are somebody's own
    assert backup_to_restore(record("install", backup="b1")) == "b1"
    assert backup_to_restore(record(backup="b1", install_back=["5.3.1", "5.8.0"])) == "b1"
    assert backup_to_restore(record(backup="", install_back=["5.3.1", "5.8.0"])) == ""


def test_a_configuration_without_a_database_hides_no_outage() -> None:
    broken = cast(Site, SimpleNamespace(host=SITE.host, docroot="/srv", state_root="/var/lib/m",
                                        config={"database": {"dbname": ""}}))  # fmt: skip
    none = {**record(), "began": ""}
    with pytest.raises(Refused, match="names no database"):
        outage_state.demand_known(broken, none)
    outage_state.demand_known(broken, HELD)
    named = SimpleNamespace(config={"database": {"dbname": "matomo"}})
    outage_state.demand_known(cast(Site, named), none)


def test_recover_says_what_an_operator_may_not_expect() -> None:
    assert "no `update`" in recovery.notes(CLOSED, gap_begun=True)[0]
    assert recovery.notes(record("install", mode=QUEUE), gap_begun=False) == []
    assert "never off" in recovery.notes(record("install", mode=REPLAY), gap_begun=False)[0]
