"""What archives or processes the queue by itself: it must be known before it can be stopped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from matops.runbook.checks.result import OK, UNKNOWN, WARN, CheckResult, Facts

_KINDS = (
    ("archive", r"core:archive|\barchive\.(?:php|sh)|climulti:request"),
    ("queue", r"queuedtracking:(?:process|monitor)"),
    ("tasks", r"scheduled-tasks:run"),
)
_SOURCES = (("cron", "cron"), ("units", "systemd"), ("supervisor", "supervisor"))


def kind(line: str) -> str:
    """archive, queue, tasks, or '' for anything else."""
    return next((name for name, sign in _KINDS if re.search(sign, line, re.IGNORECASE)), "")


def entries(facts: Facts) -> list[dict[str, Any]]:
    """Everything that starts such work: ``{"kind", "source", "where", "user", "line", …}``."""
    seen = facts.probe("background")
    found = []
    for key, source in _SOURCES:
        for entry in seen.get(key, []):
            what = kind(" ".join([entry["line"], *entry.get("script", [])]))
            if what:
                found.append({**entry, "kind": what, "source": source})
    return found


def processes(facts: Facts) -> list[dict[str, Any]]:
    """The PHP processes at such work now; the shells and sudos around them are left out."""
    return [
        {**process, "kind": kind(process["line"])}
        for process in facts.probe("background").get("processes", [])
        if kind(process["line"]) and _is_php(process["line"])
    ]


def _is_php(line: str) -> bool:
    program = line.split(None, 1)[0].rpartition("/")[2]
    return program.startswith("php") or program == "console"


def everywhere(facts: Facts) -> list[CheckResult]:
    """``archivers`` of this host, and of each other one of the installation that was asked."""
    results = [archivers(facts)]
    for name, seen in facts.others.items():
        theirs = replace(facts, probes={**facts.probes, "background": seen})
        results.append(replace(archivers(theirs), name=f"archivers@{name}"))
    return results


def archivers(facts: Facts) -> CheckResult:
    """Lists them; a running archiver, none at all, or an incomplete view are worth a look."""
    seen = facts.probe("background")
    wanted = "all known; none running during the upgrade"
    if not seen or "error" in seen:
        return CheckResult("archivers", UNKNOWN, str(seen.get("error", "not looked at")), wanted,
                           "look at crontabs and timers by hand")  # fmt: skip
    starts, now = entries(facts), processes(facts)
    running = [process for process in now if process["kind"] == "archive"]
    figures = {"entries": starts, "processes": now, "denied": seen["denied"]}
    shown = [f"{e['kind']}: {_place(e)}" for e in starts]
    shown += [f"running {p['kind']}: pid {p['pid']} of {p['user']}" for p in now]
    found = "; ".join(shown) or "none found here"
    if running:
        return CheckResult("archivers", WARN, found, wanted,
                           "let it finish, or stop it before the system goes down "
                           f"(pid {', '.join(str(p['pid']) for p in running)})",
                           figures)  # fmt: skip
    if seen["denied"] or not seen["sees_all_processes"]:
        hidden = [*seen["denied"]] + ([] if seen["sees_all_processes"] else ["other processes"])
        return CheckResult("archivers", UNKNOWN, f"{found}; not seen: {', '.join(hidden[:3])}",
                           wanted, "give this account sudo", figures)  # fmt: skip
    if not any(e["kind"] == "archive" for e in starts):
        if facts.settings.archivers:
            return CheckResult("archivers", OK, f"{found}; archiving hosts: "
                               f"{', '.join(facts.settings.archivers)}", wanted, "",
                               figures)  # fmt: skip
        return CheckResult("archivers", WARN, found, wanted,
                           "where does core:archive run? Name other hosts: archivers in "
                           "config/matops.yaml (or does it run in the browser?)",
                           figures)  # fmt: skip
    return CheckResult("archivers", OK, found, wanted, "", figures)


def _place(entry: Mapping[str, Any]) -> str:
    place = str(entry["where"]).replace("/etc/systemd/system/", "")
    off = " (disabled)" if entry["source"] == "systemd" and not entry.get("enabled") else ""
    return f"{place} as {entry['user']}{off}" if entry["user"] else f"{place}{off}"
