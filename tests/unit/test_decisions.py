"""Decisions and parsers that need no host."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from matops.errors import (
    ConnectionLost,
    Locked,
    MatopsError,
    OutcomeUnknown,
    Refused,
    UsageError,
)
from matops.host import agent, jobs
from matops.matomo import console
from matops.mysql.quote import fill, quote
from matops.runbook import hold, journal
from matops.runbook.delete_logs import parse_range
from matops.runbook.there import same_or_refuse

NO_ARCHIVING = "Archiving won't run because maintenance mode is enabled"


@pytest.mark.parametrize(
    ("command", "code", "output", "status"),
    [
        ("core:archive", 0, NO_ARCHIVING, "did nothing"),
        ("core:archive", 0, "INFO Processed 0 archives.", "ok"),
        ("core:update", 0, "Database upgrade not executed.", "did nothing"),
        ("core:update", 0, "[!] X off\nsuccessfully updated!", "failed"),
        ("core:update", 1, "[X] Critical Error during the update process", "failed"),
        ("core:update", 0, "Everything is already up to date.", "ok"),
        ("plugin:activate", 0, "Cannot find plugin files for Nope.", "failed"),
        ("plugin:deactivate", 0, "Cannot find plugin files for Nope.", "failed"),
        ("config:get", 0, "Nothing found", "ok"),
        ("anything", 255, "SQLSTATE[HY000] [2002] Connection refused", "failed"),
        ("core:archive", 1, "Processed 0 archives.\nERROR: 3 errors", "failed"),
        ("queuedtracking:process", 1, "(0 requests\nConnection refused", "failed"),
        ("anything", 255, "", "outcome unknown"),
        ("anything", 137, "half a line", "outcome unknown"),
        ("anything", 1, 'Command "anything" is not defined.', "failed"),
        ("anything", 1, 'The "--dry-run" option does not exist.', "failed"),
    ],
)  # fmt: skip
def test_exit_codes_that_lie(command: str, code: int, output: str, status: str) -> None:
    assert console.judge(command, code, output).status == status


def test_console_words() -> None:
    assert console.split('./console core:archive --url="a b"') == ["core:archive", "--url=a b"]
    with pytest.raises(UsageError):
        console.split("")
    for line in ("core:delete-logs-data --dates=a,b -n", "co:delete-lo -qn",
                 "-n core:delete-logs-data", "core:delete-logs --no-inter"):  # fmt: skip
        with pytest.raises(Refused, match="deletes without asking"):
            console.guard(line.split())
    console.guard(["core:delete-logs-data", "--dates=a,b"])
    console.guard(["core:archive", "-n"])


def test_identifiers_are_quoted_in_one_way() -> None:
    assert quote("a`b c%") == "`a``b c%`"
    assert fill("SELECT 1 FROM {{t}} WHERE x = %s", {"t": "a%s"}, bound=True) == (
        "SELECT 1 FROM `a%%s` WHERE x = %s"
    )
    for bad in ("", "a\0"):
        with pytest.raises(ValueError):
            quote(bad)


@pytest.mark.parametrize("kind", [MatopsError, Refused, OutcomeUnknown, Locked, UsageError])
def test_errors_travel_whole(kind: type[MatopsError]) -> None:
    error = kind("it broke", state="half done", next="do this").on("web1")
    data = {"kind": kind.__name__, "code": error.code, "what": error.what, "host": error.host,
            "state": error.state, "next": error.next}  # fmt: skip
    back = agent._rebuilt(data)
    assert (type(back), back.line(), back.code) == (kind, error.line(), error.code)
    assert error.line() == "web1: it broke. half done. Next: do this"


def test_the_far_ends_lost_link_is_not_ours() -> None:
    data = {"kind": "ConnectionLost", "code": 4, "what": "x", "host": "", "state": "", "next": ""}
    assert not isinstance(agent._rebuilt(data), ConnectionLost)


def test_only_functions_of_matops_are_called() -> None:
    with pytest.raises(ValueError):
        agent._resolve("os:system")


def test_job_states() -> None:
    text = (
        "job=a.1\nstate=ended\nrc=0\nstarted=s\nended=e\nlog=12\ncmd=x=y z \n"
        "job=b.1\nstate=running\nrc=\nstarted=s\nended=\nlog=\ncmd=\n"
        "job=c.1\nstate=ended\nrc=\nstarted=s\nended=\nlog=0\ncmd=\n"
        "job=d.1\nstate=ended\nrc=75\nstarted=s\nended=e\nlog=0\ncmd=\n"
    )
    found = jobs.parse(text)
    assert [(j.name, j.state, j.code) for j in found] == [
        ("a.1", jobs.DONE, 0), ("b.1", jobs.RUNNING, None), ("c.1", jobs.LOST, None),
        ("d.1", jobs.FAILED, 75),
    ]  # fmt: skip
    assert found[0].command == "x=y z" and found[0].log_size == 12 and found[0].label == "a"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-rf", "a b", "x" * 200])
def test_job_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError):
        jobs.check_name(name)


def test_who_holds_the_lock() -> None:
    mine = hold.identity("prep", "web1")
    assert not hold.is_dead_self(None, mine)
    assert not hold.is_dead_self(mine, mine), "alive: it is this process"
    gone: dict[str, Any] = {**mine, "pid": 2**22 - 1, "started": "1"}
    assert hold.is_dead_self(gone, mine)
    reused = {**mine, "pid": os.getpid(), "started": "1"}
    assert hold.is_dead_self(reused, mine), "the number was given to another process"
    assert not hold.is_dead_self({**gone, "machine": "other"}, mine)
    assert not hold.is_dead_self({**gone, "user": "other"}, mine)


def test_the_journal_survives_a_half_written_line_and_a_later_version() -> None:
    text = '{"v":9,"at":"t","run":"r","step":"s","event":"done","new":1}\n{"v":1,"at":"t","ru'
    [entry] = journal.parse(text)
    assert (entry.step, entry.event) == ("s", "done")


@pytest.mark.parametrize(
    ("text", "words"),
    [("2024-01-01", "FROM,TO"), ("2024-01-01,2024-01-01", "not before"),
     ("2024-01-01,2999-01-01", "future"), ("a,b", "not a date")],
)  # fmt: skip
def test_date_ranges(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_range(text)


@pytest.mark.parametrize(
    "typed", ["--idsite 1", "--dates a,b --idsite 12 --force", "--idsite 2", ""]
)
def test_another_command_is_not_attached_to(typed: str) -> None:
    command = "exec env A=1 python3 m.pyz logs.purge --dates a,b --idsite 12"
    running = jobs.Job("logs.purge.t", "running", None, "now", "", command)
    site: Any = SimpleNamespace(host=SimpleNamespace(name="web1"))
    same_or_refuse(site, "logs.purge", running, ["logs.purge", "--dates", "a,b", "--idsite", "12"])
    with pytest.raises(Refused, match="runs as job"):
        same_or_refuse(site, "logs.purge", running, ["logs.purge", *typed.split()])
