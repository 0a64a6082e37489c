"""The rules of an outage: when somebody is told, what a phase's plan says. Pure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Optional, cast

import pytest

from matops.errors import OutcomeUnknown, Refused
from matops.matomo.migrated import MIGRATED, Verdict
from matops.matomo.site import Site
from matops.runbook.engine import FAILED, NOT_REACHED, PLANNED, UNKNOWN, Run
from matops.runbook.journal import Journal
from matops.runbook.outage_begin import not_replayed
from matops.runbook.outage_watch import level, queue_line, queue_state
from matops.runbook.outage_words import held_line, rows
from matops.runbook.phase import (
    LATER,
    expected_line,
    first_error,
    nothing_to_do,
    preview,
    told,
)
from matops.runbook.phases import OFFLINE, ROLLBACK
from matops.runbook.rollback import no_way_back
from matops.runbook.step import Action, Evidence, Look, Step
from matops.settings import Settings, parse, portable


@pytest.mark.parametrize(
    ("now", "told", "due"),
    [(0, [], None), (49, [], None), (50, [], 50), (60, [50], None), (76, [50], 75),
     (76, [], 75), (100, [50, 75], 100), (500, [50, 75], 100), (500, [100], None)],
)  # fmt: skip
def test_each_level_is_told_once_and_the_highest_only(
    now: float, told: list[int], due: Optional[int]
) -> None:
    assert level(0, 100, now, told) == due


@pytest.mark.parametrize(
    ("seen", "left", "state"),
    [
        ({"full_in_seconds": None}, 600.0, ""),
        ({"full_in_seconds": 90_000.0}, 7200.0, ""),
        ({"full_in_seconds": 7000.0}, 7200.0, "short"),  # full before the deadline
        ({"full_in_seconds": 7000.0}, -60.0, ""),  # the deadline is past: an hour is an hour
        ({"full_in_seconds": 3000.0}, None, "short"),
        ({"full_in_seconds": 800.0}, None, "urgent"),
        ({"full_in_seconds": 90_000.0, "errors": ["Redis is gone"]}, None, "trouble"),
    ],
)
def test_the_queue_s_room(seen: dict[str, Any], left: Optional[float], state: str) -> None:
    assert queue_state(seen, left) == state


def test_the_queue_in_a_line() -> None:
    assert queue_line({"depth": 12, "full_in_seconds": 7200.0}) == (
        "12 request sets wait, room for 2 h at this pace"
    )
    assert queue_line({"depth": 12, "errors": ["Redis is gone"]}) == "Redis is gone"


def test_the_record_in_a_table() -> None:
    notes = {"leader": {"at": 1000.0, "name": "web1", "machine": "w"}, "tracking_mode": "queue",
             "tracking_reason": "room", "deadline": {"at": 8200.0, "seconds": 7200}}  # fmt: skip
    data = {"began": "2026-11-22T12:00:00+00:00", "found": {"maintenance": None}, "notes": notes}
    found = dict(rows(data, 4600.0))
    assert found["outage"].endswith(", 60 min; led from web1")
    assert found["hits"] == "queue: room"
    assert found["deadline"].endswith("in 60 min")
    assert found["held"] == "the UI is closed (maintenance mode)"
    assert rows({"began": "", "found": {}, "notes": {}}, 1.0) == [("outage", "none")]
    assert "Nothing is left" in held_line({"found": {}})


def test_after_a_migration_the_refusal_says_what_can_be_done() -> None:
    site = cast(Site, SimpleNamespace(host=SimpleNamespace(name="web1")))
    lines = [f"version_core: 5.3.1 → 5.{n}" for n in range(5)]
    record: dict[str, Any] = {"notes": {}}
    error = no_way_back(site, Verdict(MIGRATED, lines), "full backup 3 h old", record)
    assert error.code == 3
    for words in ("cannot downgrade its schema", "and 2 more", "`update` again", "full backup 3 h"):
        assert words in error.line()
    record["notes"]["update"] = {"proved": "5.8.0"}
    done = no_way_back(site, Verdict(MIGRATED, lines), "", record)
    assert "the update to 5.8.0 is done, and `recover`" in done.line()


def test_the_plan_s_time_in_the_question() -> None:
    totals = {"down": {"low": 60.0, "likely": 1500.0, "high": 2400.0}}
    line = expected_line({"totals": totals, "made_at": 0.0, "window_seconds": 3600})
    assert "expects 25 min (up to 40 min) of outage; 60 min are announced" in line


class Fake(Step):
    """A step whose look is given."""

    def __init__(self, name: str, look: Any) -> None:
        self.name, self._look = name, look
        self.say = lambda line: None
        self.site = cast(Site, SimpleNamespace(host=SimpleNamespace(name="web1")))

    def look(self) -> Look:
        if isinstance(self._look, Exception):
            raise self._look
        return cast(Look, self._look)

    def act(self, action: Action) -> None:
        raise AssertionError("a plan must not act")

    def verify(self) -> Evidence:
        raise AssertionError("a plan must not act")


class Gate(Fake):
    """A step that only reads, and says no."""

    reads_only = True

    def __init__(self) -> None:
        super().__init__("gate", DONE)

    def verify(self) -> Evidence:
        raise Refused("no way back")


ACT, DONE = Look([Action("do it", "why")]), Look(because="is so")


def plan(*looks: Any, eased: Optional[dict[str, list[str]]] = None) -> list[Any]:
    site = cast(Site, SimpleNamespace(host=SimpleNamespace(name="web1")))
    run = Run(site, lambda line: None, cast(Journal, None), None, True)
    steps = [
        look if isinstance(look, Fake) else Fake(f"s{n}", look) for n, look in enumerate(looks)
    ]
    return preview(steps, run, eased=eased)


def test_a_no_that_an_earlier_step_may_change_is_looked_at_then() -> None:
    outcomes = plan(DONE, ACT, Refused("the queue is on"), ACT)
    assert [each.status for each in outcomes] == ["already done", PLANNED, LATER, PLANNED]
    assert "the queue is on" in outcomes[2].detail and first_error(outcomes) is None


def test_a_no_that_no_earlier_step_can_change_is_an_error_before_the_first_switch() -> None:
    strict: dict[str, list[str]] = {"s3": ["s2"]}
    outcomes = plan(ACT, Refused("read-only"), ACT, Refused("the queue is on"), eased=strict)
    assert [each.status for each in outcomes] == [PLANNED, FAILED, PLANNED, LATER]
    error = first_error(outcomes)
    assert error is not None and error.what == "read-only"


def test_a_no_before_anything_would_be_done_is_an_error_and_the_rest_is_still_told() -> None:
    outcomes = plan(DONE, Refused("not writable"), ACT, DONE)
    assert [each.status for each in outcomes] == ["already done", FAILED, PLANNED, "already done"]
    error = first_error(outcomes)
    assert error is not None and error.code == 3


def test_behind_a_gate_that_says_no_nothing_is_looked_at() -> None:
    outcomes = plan(Gate(), ACT)
    assert [each.status for each in outcomes] == [FAILED, NOT_REACHED]


def test_what_is_unknown_stays_unknown() -> None:
    outcomes = plan(ACT, OutcomeUnknown("link lost"))
    assert outcomes[1].status == UNKNOWN and first_error(outcomes) is not None


def test_an_error_says_how_to_go_on_with_the_phase_and_not_only_with_its_step() -> None:
    refused = told(Refused("Redis is down", next="start it, then run this again"), OFFLINE)
    assert refused.line() == (
        "Redis is down. Nothing was changed. Next: start it, then run offline again"
    )
    stopped = told(Refused("Redis is down", next="start Redis"), ROLLBACK, "queue.drain")
    assert stopped.line() == (
        "Redis is down. rollback stopped at queue.drain; what came before it is done. "
        "Next: start Redis; then rollback again: it goes on"
    )
    own = told(Refused("x", state="s", next="run rollback again"), ROLLBACK, "queue.drain")
    assert own.line() == "x. s. Next: run rollback again"


def test_nothing_to_do() -> None:
    assert nothing_to_do(plan(DONE, DONE)) and not nothing_to_do(plan(DONE, ACT))


def test_a_job_s_settings_are_the_same_again() -> None:
    theirs = Settings(servers=("web1", "web2"), gap_keep=3600, disk_factor=1.5, sudo=False)
    assert parse(portable(theirs)) == theirs


@pytest.mark.parametrize(
    ("gap", "told"),
    [(None, True), ({"hits": 7}, True), ({"hits": 0}, False), ({"hits": 7, "begun": "…"}, False)],
)
def test_a_gap_that_nobody_replays_is_told_when_the_record_is_closed(gap: Any, told: bool) -> None:
    marks = {"edge.off": {"at": {"before": 1.0}}, "edge.on": {"at": {"after": 60.5}}, "gap": gap}
    line = not_replayed(marks)
    assert bool(line) is told
    if told:
        assert "--from 1970-01-01T00:00:01+00:00 --to 1970-01-01T00:01:00.500000+00:00" in line
    assert not_replayed({**marks, "edge.on": None}) == ""
