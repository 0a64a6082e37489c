"""Checks of the machine: disks, inodes, swap, clock, logind, SELinux."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult, Facts, failed
from matops.units import show_duration, show_size

RELEASE = 2**30
"""Bytes wanted beside the docroot: the zip, the unpacked release (some 250 MB), the old tree."""

FILES = 30_000
"""Inodes wanted there: a release has about 8 000 files (5.3.1) to 20 000 (with vendors)."""

Disk = Mapping[str, Any]


def disks(facts: Facts) -> list[CheckResult]:
    """Free space on the docroot, the database's folder and its tmpdir; one filesystem once."""
    docroot = facts.preflight.get("disks", {}).get("docroot")
    theirs = _database_disks(facts)
    sizes = facts.database.get("sizes", {})
    used = sizes.get("total")
    needs: dict[str, int] = {"docroot": RELEASE}
    if used is not None:
        needs["database"] = int(facts.settings.disk_factor * used)
        needs["tmpdir"] = int(sizes["largest"]["bytes"])
    places: dict[str, Any] = dict(theirs)
    if docroot:
        places["docroot"] = {**docroot, "machine": "here"}
    results = []
    for place in ("docroot", "database", "tmpdir"):
        disk = places.get(place)
        if disk is None or place not in needs:
            results.append(_unseen(facts, place, sizes if used is not None else {}))
            continue
        # The machine's own filesystems are told apart by device; another machine's never match.
        same = [
            p for p, d in places.items()
            if d and p in needs and (d["machine"], d["device"]) == (disk["machine"], disk["device"])
        ]  # fmt: skip
        results.append(_judge_disk(facts, place, disk, same, needs, used))
    return results


def _database_disks(facts: Facts) -> dict[str, Any]:
    if facts.database_is_local:
        found = facts.database.get("machine", {}).get("disks", {})
        by_path, where = {name: found.get(name) for name in ("datadir", "tmpdir")}, "here"
        by_path["innodb_tmpdir"] = found.get("innodb_tmpdir")
    elif facts.db_machine is not None:
        variables = facts.database.get("variables", {})
        remote, where = facts.db_machine.get("disks", {}), "there"
        by_path = {
            name: remote.get(str(variables.get(name) or "").split(":")[0])
            for name in ("datadir", "tmpdir", "innodb_tmpdir")
        }
    else:
        return {}
    temporary = by_path["innodb_tmpdir"] or by_path["tmpdir"]
    pairs = {"database": by_path["datadir"], "tmpdir": temporary}
    return {place: {**disk, "machine": where} for place, disk in pairs.items() if disk}


def _unseen(facts: Facts, place: str, sizes: Mapping[str, Any]) -> CheckResult:
    name, wanted = f"disk-{place}", ""
    if sizes and place == "database":
        wanted = f"{facts.settings.disk_factor:g} × {show_size(sizes['total'])} free"
    elif sizes and place == "tmpdir":
        wanted = f"{show_size(sizes['largest']['bytes'])} free, its largest table"
    if place == "docroot" or facts.database_error:
        reason = facts.database_error or facts.preflight_error or "it was not asked"
        return CheckResult(name, UNKNOWN, reason, wanted, "see the reason; then again")
    host = facts.database["variables"].get("hostname") or facts.text("database", "host")
    uses = f"; the database uses {show_size(sizes['total'])}" if sizes else ""
    why = failed(facts.db_machine or {}) or f"it is on another machine ({host}) and was not seen"
    return CheckResult(
        name, UNKNOWN, f"{why}{uses}", wanted,
        f"set db_host to a name by which SSH reaches {host}; or look there with df -h",
        {"used": sizes.get("total")},
    )  # fmt: skip


def _judge_disk(
    facts: Facts, place: str, disk: Disk, same: list[str], needs: dict[str, int], used: Any
) -> CheckResult:
    need = sum(needs[p] for p in same)
    # Sort files of an index build are at most as large as the table, and on its filesystem
    # they are within the factor.
    if "tmpdir" in same and "database" in same:
        need -= needs["tmpdir"]
    factor = facts.settings.disk_factor
    also = [p for p in same if p != place]
    shares = f" (one filesystem with {' and '.join(also)})" if also else ""
    uses = "" if place == "docroot" and "database" not in same else (
        f"; the database uses {show_size(used)}")  # fmt: skip
    found = f"{show_size(disk['free'])} free of {show_size(disk['total'])}{shares}{uses}"
    parts = {
        "docroot": f"{show_size(RELEASE)} for the release",
        "database": f"{factor:g} × {show_size(used)} for the database",
        "tmpdir": f"{show_size(needs.get('tmpdir'))}, its largest table",
    }
    shown = [p for p in same if not (p == "tmpdir" and "database" in same)]
    wanted = f"{show_size(need)} free: {' + '.join(parts[p] for p in shown)}"
    figures = {"free": disk["free"], "total": disk["total"], "needed": need, "used": used}
    name = f"disk-{place}"
    if disk.get("read_only"):
        return CheckResult(name, FAIL, f"{found}; mounted read-only", wanted,
                           "find out why (dmesg), mount it rw", figures)  # fmt: skip
    if disk["free"] < need:
        # A full tmpdir ends one index build; a full data disk stops the server.
        status = WARN if same == ["tmpdir"] else FAIL
        more = show_size(need - disk["free"])
        fix = {"tmpdir": "innodb_tmpdir to a larger disk, or ", "docroot": "", "database":
               "purge and optimize (archive.purge, logs.delete), or "}[place]  # fmt: skip
        return CheckResult(name, status, found, wanted, f"{fix}free or add {more}", figures)
    return CheckResult(name, OK, found, wanted, "", figures)


def inodes(facts: Facts) -> CheckResult:
    """Room for the release's files, and the old tree kept beside it."""
    disk = facts.preflight.get("disks", {}).get("docroot")
    wanted = f"{FILES} free on the docroot's filesystem"
    if disk is None:
        return CheckResult("inodes", UNKNOWN, facts.preflight_error or "not asked", wanted,
                           "see the reason; then again")  # fmt: skip
    if not disk["total_inodes"]:
        return CheckResult("inodes", OK, "this filesystem makes them as needed", wanted)
    free = int(disk["free_inodes"])
    figures = {"free": free, "total": disk["total_inodes"]}
    if free < FILES:
        return CheckResult("inodes", FAIL, f"{free} free", wanted,
                           "remove many small files (old sessions, caches, mail)",
                           figures)  # fmt: skip
    return CheckResult("inodes", OK, f"{free} free", wanted, "", figures)


def swap(facts: Facts) -> CheckResult:
    """Swap against memory, here and on the database's own machine where that was seen."""
    factor = facts.settings.swap_factor
    seen = {"": facts.probe("machine").get("memory", {})}
    if facts.db_machine and not facts.database_is_local:
        seen["database: "] = facts.db_machine.get("memory", {})
    known = {where: memory for where, memory in seen.items() if "MemTotal" in memory}
    if not known:
        return CheckResult("swap", UNKNOWN, "/proc/meminfo was not read", f"{factor:g} × memory",
                           "look with free -h")  # fmt: skip
    shown = [f"{where}{show_size(m.get('SwapTotal', 0))} swap, {show_size(m['MemTotal'])} memory"
             for where, m in known.items()]  # fmt: skip
    short = [factor * m["MemTotal"] - m.get("SwapTotal", 0) for m in known.values()]
    figures = {where.strip(": ") or "host": dict(memory) for where, memory in known.items()}
    wanted = f"{factor:g} × memory"
    if max(short) > 0:
        return CheckResult("swap", WARN, "; ".join(shown), wanted,
                           f"add {show_size(max(short))}, or set swap_factor to what you want",
                           figures)  # fmt: skip
    return CheckResult("swap", OK, "; ".join(shown), wanted, "", figures)


def clock(facts: Facts) -> CheckResult:
    """The host's clock against ours; the round trip is the error bar.

    The host read its clock between ``before`` and ``after`` less the work that followed.
    """
    theirs = facts.probe("machine").get("clock")
    tolerance = facts.settings.clock_tolerance
    wanted = f"within {tolerance} s of ours"
    if theirs is None:
        return CheckResult("clock", UNKNOWN, "not read", wanted, "look with date -u on both")
    work = sum(float(module.get("seconds", 0)) for module in facts.probes.values())
    low, high = theirs - (facts.after - work), theirs - facts.before
    offset, bar = (low + high) / 2, abs(high - low) / 2
    figures: dict[str, Any] = {"offset": round(offset, 3), "error": round(bar, 3)}
    found = f"{offset:+.1f} s ± {bar:.1f} s"
    apart = facts.database.get("clock_offset")
    if apart is not None and not facts.database_is_local:
        figures["database_offset"] = round(apart, 3)
        found += f"; the database's {apart:+.1f} s against the host's"
    if abs(offset) - bar > tolerance or abs(figures.get("database_offset", 0)) > tolerance:
        return CheckResult("clock", WARN, found, wanted,
                           "run a time service on all machines (chrony): the gap is cut by the "
                           "host's clock", figures)  # fmt: skip
    if abs(offset) + bar > tolerance:
        return CheckResult("clock", UNKNOWN, found, wanted,
                           f"the answer took {show_duration(2 * bar)}: look with date -u on both",
                           figures)  # fmt: skip
    return CheckResult("clock", OK, found, wanted, "", figures)


def kill_user_processes(facts: Facts) -> CheckResult:
    """logind ends what a session started when it closes, jobs included.

    With sudo too: what it starts stays in the login's session scope, and KillExcludeUsers
    (root by default) is about who logged in (logind.conf(5)).
    """
    machine = facts.probe("machine")
    value, login = str(machine.get("kill_user_processes", "")), str(machine.get("login", ""))
    wanted = "no: jobs outlive our session"
    if not machine.get("systemd"):
        return CheckResult("kill-user-processes", OK, "no systemd here", wanted)
    if value.lower() not in ("yes", "true", "1", "on"):
        return CheckResult("kill-user-processes", OK, value or "no (the default)", wanted)
    if login == "root":
        return CheckResult("kill-user-processes", OK, "yes, but root is left out", wanted)
    return CheckResult(
        "kill-user-processes", FAIL, f"yes: jobs of {login} end with the SSH session", wanted,
        f"KillUserProcesses=no, or KillExcludeUsers=root {login}, in "
        "/etc/systemd/logind.conf.d/; then systemctl restart systemd-logind and log in anew",
    )  # fmt: skip


def selinux(facts: Facts) -> CheckResult:
    """Where SELinux is enforced, new trees need their labels."""
    mode = str(facts.probe("machine").get("selinux", ""))
    if mode == "enforcing":
        return CheckResult("selinux", WARN, mode, "staged files carry the web server's label",
                           f"after staging: restorecon -R {facts.docroot} and the staged "
                           "tree")  # fmt: skip
    return CheckResult("selinux", OK, mode or "none", "")
