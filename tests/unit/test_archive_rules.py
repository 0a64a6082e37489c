"""Days in a site's own zone, which archive counts, what is queued already."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from matops.errors import MatopsError, UsageError
from matops.matomo import console
from matops.matomo.archive_days import bounds, local_days, newest, reach, zone_of
from matops.runbook import archive_compare, archive_step, recovery
from matops.runbook.archive_invalidate import calls
from matops.runbook.archive_run import Asked
from matops.runbook.archive_watch import errors
from matops.runbook.recover_account import of_replay
from matops.runbook.recover_replay import RecoverReplay
from matops.tasks import recover


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("UTC", "2026-11-22", "2026-11-22"),
        ("Europe/Berlin", "2026-11-22", "2026-11-23"),
        ("America/New_York", "2026-11-22", "2026-11-22"),
        ("Pacific/Auckland", "2026-11-23", "2026-11-23"),
        ("UTC+5.5", "2026-11-22", "2026-11-23"),
    ],
)
def test_the_days_that_a_window_touches(zone: str, first: str, last: str) -> None:
    window = at("2026-11-22T18:00:00+00:00"), at("2026-11-22T23:30:00+00:00")
    found = local_days(*window, zone_of(zone))
    assert tuple(map(str, found)) == (first, last)


def test_a_window_that_ends_at_midnight_does_not_touch_the_new_day() -> None:
    window = at("2026-11-22T18:00:00+00:00"), at("2026-11-23T00:00:00+00:00")
    assert local_days(*window, dt.timezone.utc) == (dt.date(2026, 11, 22),) * 2


@pytest.mark.parametrize(("length", "seconds"), [({}, 1800), ({"visit_standard_length": "60"}, 60)])
def test_a_hit_just_after_midnight_reaches_the_day_before(length: Any, seconds: int) -> None:
    assert reach({"Tracker": length}, 10000.0, 20000.0) == (10000 - seconds, 20000 + seconds)


@pytest.mark.parametrize(
    ("found", "result", "word"),
    [
        ({}, None, ""),
        ({"digest": "d", "wanted": 3}, None, ""),
        ({"digest": "d", "wanted": 0}, None, "d:0"),
        ({"digest": "d", "wanted": 3}, {"totals": {"settled": 3}}, "d:3"),
        ({}, {"digest": "d", "wanted": 3, "totals": {"settled": 3}}, "d:3"),
    ],
)
def test_what_the_reports_were_built_for(found: Any, result: Any, word: str) -> None:
    replay = SimpleNamespace(found=found, result=result)
    assert RecoverReplay.settled.fget(replay) == word  # type: ignore[attr-defined]


def test_days_in_any_zone_hold_those_that_a_visit_reaches() -> None:
    window = archive_step.Window(at("2026-11-22T10:20:00+00:00"), at("2026-11-22T10:40:00+00:00"))
    assert recovery.any_days(window) == ("2026-11-21", "2026-11-23")
    late = archive_step.Window(at("2026-11-22T12:10:00+00:00"), at("2026-11-22T12:20:00+00:00"))
    assert recovery.any_days(late)[0] == "2026-11-21"


def test_a_day_on_which_the_clock_moves_has_25_hours() -> None:
    begin, end = bounds(dt.date(2026, 10, 25), zone_of("Europe/Berlin"))
    assert end - begin == dt.timedelta(hours=25)
    assert begin == dt.datetime(2026, 10, 24, 22)


def test_an_unknown_zone_is_one_line() -> None:
    with pytest.raises(MatopsError, match="Mars/Olympus"):
        zone_of("Mars/Olympus")


@pytest.mark.parametrize(
    ("archives", "figures", "state"),
    [
        ({}, None, "no archive"),
        ({1: {"made": 1, "done": 1, "nb_visits": 7, "nb_actions": 9}}, [7, 9], ""),
        ({1: {"made": 1, "done": 1}}, [0, 0], ""),
        ({1: {"made": 1, "done": 4, "nb_visits": 7}}, [7, 0], "invalid"),
        (
            {
                1: {"made": 1, "done": 4, "nb_visits": 7},
                2: {"made": 2, "done": 1, "nb_visits": 8, "nb_actions": 8},
            },
            [8, 8],
            "",
        ),
        ({1: {"made": 1, "done": 1, "nb_visits": 7}, 2: {"made": 2, "done": 2}}, [7, 0], ""),
        ({1: {"made": 1, "done": 1, "nb_visits": 7}, 2: {"made": 2, "done": 5}}, [7, 0], ""),
        ({2: {"made": 2, "done": 2}}, None, "being built, or failed"),
    ],
)
def test_the_archive_that_counts(archives: Any, figures: Any, state: str) -> None:
    assert newest(archives) == (figures, state)


def test_sites_with_the_same_days_go_in_one_call_and_queued_ones_in_none() -> None:
    def days(first: str, last: str, queued: int) -> dict[str, Any]:
        return {"first": first, "last": last, "queued": queued}

    found = calls(
        {
            "1": days("2026-11-22", "2026-11-22", 0),
            "2": days("2026-11-22", "2026-11-23", 1),
            "3": days("2026-11-22", "2026-11-22", 0),
            "4": days("2026-11-22", "2026-11-23", 2),
        }
    )
    assert [(call.sites, call.first, call.last) for call in found] == [
        ((1, 3), "2026-11-22", "2026-11-22"),
        ((2,), "2026-11-22", "2026-11-23"),
    ]


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"report": None, "log": [1, 1], "running": False, "state": ""}, "no report"),
        ({"report": [1, 1], "log": [1, 1], "running": False, "state": ""}, "agrees"),
        ({"report": [1, 1], "log": [2, 2], "running": False, "state": ""}, "differs"),
        ({"report": [1, 1], "log": [1, 1], "running": False, "state": "invalid"}, "differs"),
        ({"report": [1, 1], "log": [2, 2], "running": True, "state": ""}, "day not over"),
        ({"report": [1, 1], "log": [0, 0], "running": False, "state": ""}, "no visit in the logs"),
    ],
)
def test_the_verdict_on_one_day(row: Any, verdict: str) -> None:
    assert archive_compare.judge(row) == verdict


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        ("2026-11-22T01:00:00", "2026-11-22T05:00:00Z", "has no zone"),
        ("yesterday", "2026-11-22T05:00:00Z", "is no time"),
        ("2026-11-22T05:00:00Z", "2026-11-22T05:00:00Z", "not before"),
        ("2999-11-22T05:00:00Z", "2999-11-23T05:00:00Z", "in the future"),
    ],
)
def test_a_wrong_window_is_one_line(begin: str, end: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        archive_step.parse_window(begin, end)


def test_a_moment_is_read_as_it_is_written() -> None:
    window = archive_step.parse_window("2026-11-22T01:00:00.25Z", "2026-11-22T07:00:00+02:00")
    assert window.end - window.start == 4 * 3600 - 0.25
    shown = archive_step.show_moment(window.start)
    assert archive_step.parse_moment(shown, "--from") == window.start


def test_what_the_console_is_told() -> None:
    asked = Asked((3329,), "2026-11-21", "2026-11-22", "https://stats.example.org/")
    assert "--force-idsites=3329" in asked.words
    assert "--force-date-range=2026-11-21,2026-11-22" in asked.words
    assert not any("--force" in word for word in Asked().words)


def test_too_many_archivers_is_nothing_done() -> None:
    text = "Reached maximum concurrent archivers allowed (3), aborting run."
    assert console.judge("core:archive", 0, text).status == console.NOTHING


def test_errors_of_the_summary() -> None:
    text = "INFO  x\nERROR [2026] Got invalid response\nError: Got invalid response\n"
    assert len(errors(text)) == 2


def test_recover_reads_what_logs_replay_reads() -> None:
    flags = {"how": "native", "workers": "2", "max_load": "2", "rate": "0", "token_file": ""}
    assert recover._replay(flags).workers == 2
    with pytest.raises(UsageError, match="--how"):
        recover._replay({**flags, "how": "by hand"})


def test_the_account_of_a_replay_closes_or_says_where_it_does_not() -> None:
    reasons = {"replay": 10, "recorded": 3, "POST body, held by no log": 4, "redirected": 1}
    result: dict[str, Any] = {
        "hits": 10, "wanted": 9, "skipped": {"no such site": 1},
        "totals": {"settled": 9, "tracked": 8, "refused": {"bad idsite": 1}},
        "account": {"asked": 9, "once": 8, "none": 1, "many": 0, "unclear": {}},
    }  # fmt: skip
    made = of_replay(reasons, result)
    assert made.open == []
    assert made.facts["lost"] == {"POST body, held by no log": 4}
    result["totals"]["settled"] = 8
    assert len(of_replay(reasons, result).open) == 2


def test_days_of_a_window_in_any_zone() -> None:
    window = archive_step.parse_window("2026-11-22T01:00:00Z", "2026-11-22T12:00:00Z")
    assert recovery.any_days(window) == ("2026-11-21", "2026-11-23")
