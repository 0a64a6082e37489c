"""Checks of the database server and of Matomo's account on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult, Facts, failed
from matops.units import show_duration, show_epoch, show_size

DOCUMENTED = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "INDEX", "DROP", "ALTER",
    "CREATE TEMPORARY TABLES", "LOCK TABLES",
)  # fmt: skip
"""What Matomo's installation guide has the account granted on its schema."""

_ARCHIVING_ONLY = ("CREATE TEMPORARY TABLES", "LOCK TABLES")

SHARED, DEDICATED = (0.50, 0.80), (0.60, 0.90)
"""Buffer pool as a part of the machine's memory ("slightly lower than total"): beside a web
server and PHP, and on a machine of its own. Above, the kernel starts to swap or kill."""


def server(facts: Facts) -> CheckResult:
    """The database answers to Matomo's own account."""
    if facts.database_error:
        return CheckResult("database", FAIL, facts.database_error, "answers to Matomo's account",
                           "start it, or correct [database] in config.ini.php")  # fmt: skip
    data = facts.database
    sizes = data.get("sizes", {})
    figures = {"version": data["version"], "flavour": data["flavour"],
               "families": sizes.get("families"), "largest": sizes.get("largest")}  # fmt: skip
    shown = f"{data['flavour']} {data['version'].split('-')[0]} at {data['where']}"
    if "total" in sizes:
        shown += f", {show_size(sizes['total'])}"
    variables = data["variables"]
    if variables.get("read_only") == "ON" or variables.get("super_read_only") == "ON":
        return CheckResult("database", FAIL, f"{shown}; read_only is ON", "writable",
                           "is this a replica? Point [database] to the primary",
                           figures)  # fmt: skip
    odd = sizes.get("not_innodb") or []
    if odd:
        return CheckResult("database", WARN, f"{shown}; not InnoDB: {', '.join(odd[:3])}",
                           "all tables InnoDB",
                           "ALTER TABLE … ENGINE=InnoDB, one at a time, before the upgrade",
                           figures)  # fmt: skip
    return CheckResult("database", OK, shown, "", "", figures)


def grants(facts: Facts) -> CheckResult:
    """Matomo's documented rights on its schema; the GRANT to paste for what is missing."""
    wanted = "the rights of Matomo's documentation"
    data = facts.database
    rows = data.get("grants")
    if not isinstance(rows, list):
        return _not_asked("grants", facts, wanted)
    held = held_on(rows, str(data["schema"]))
    missing = [right for right in DOCUMENTED if right not in held]
    figures = {"account": data["account"], "missing": missing}
    account = str(data["account"])
    if not missing:
        return CheckResult("grants", OK, f"{account}: complete", wanted, "", figures)
    statement = grant_statement(missing, str(data["schema"]), account)
    found = f"{account} lacks {', '.join(missing)}"
    if any(" ON " not in row for row in rows):
        return CheckResult("grants", UNKNOWN, f"{found}, unless a role has it", wanted,
                           f"as an administrator: SHOW GRANTS … USING its roles; else {statement}",
                           figures)  # fmt: skip
    hurts = [right for right in missing if right not in _ARCHIVING_ONLY]
    return CheckResult("grants", FAIL if hurts else WARN, found, wanted, statement, figures)


def held_on(rows: Sequence[str], schema: str) -> set[str]:
    """The rights that SHOW GRANTS rows give on a whole schema."""
    held: set[str] = set()
    for row in rows:
        found = re.match(r"GRANT (.+?) ON (?:TABLE )?(\S+) TO ", row)
        if not found or not _means(found[2], schema):
            continue
        rights = re.sub(r"\([^)]*\)", "(columns)", found[1]).split(",")
        held |= {right.strip().upper() for right in rights}
    return {*held, *DOCUMENTED} if held & {"ALL PRIVILEGES", "ALL"} else held


def _means(target: str, schema: str) -> bool:
    if target == "*.*":
        return True
    found = re.fullmatch(r"[`\"]?((?:[^`\"]|``)+)[`\"]?\.\*", target)
    if not found:
        return False  # one table only
    pattern = ""
    for piece in re.findall(r"\\.|.", found[1].replace("``", "`")):
        wild = {"%": ".*", "_": "."}.get(piece)
        pattern += wild or re.escape(piece[-1])
    return re.fullmatch(pattern, schema, re.DOTALL) is not None


def grant_statement(missing: Sequence[str], schema: str, account: str) -> str:
    """The statement that an administrator pastes; the account as the server knows it."""
    user, _, host = account.rpartition("@")
    quoted = schema.replace("`", "``")
    return f"GRANT {', '.join(missing)} ON `{quoted}`.* TO '{user}'@'{host}';"


def buffer_pool(facts: Facts) -> CheckResult:
    """innodb_buffer_pool_size against the memory of the database's machine."""
    low, high = SHARED if facts.database_is_local else DEDICATED
    wanted = f"{low:.0%} to {high:.0%} of that machine's memory, or more than all data"
    size = facts.database.get("variables", {}).get("innodb_buffer_pool_size")
    if size is None:
        return _not_asked("buffer-pool", facts, wanted)
    pool, total = int(size), _memory(facts)
    used = facts.database.get("sizes", {}).get("total")
    figures = {"buffer_pool": pool, "memory": total, "data": used}
    if total is None:
        host = facts.database["variables"].get("hostname") or facts.text("database", "host")
        return CheckResult(
            "buffer-pool", UNKNOWN, f"{show_size(pool)}; "
            + (failed(facts.db_machine or {}) or f"the memory of {host} was not seen"),
            wanted, f"set db_host to a name by which SSH reaches {host}", figures,
        )  # fmt: skip
    found = f"{show_size(pool)} of {show_size(total)} ({pool / total:.0%})"
    advice = (
        f"innodb_buffer_pool_size between {show_size(low * total)} and {show_size(high * total)}"
    )
    if pool > high * total:
        return CheckResult("buffer-pool", WARN, found, wanted, advice, figures)
    if pool < low * total:
        if used is not None and pool > used:
            return CheckResult("buffer-pool", OK, f"{found}; holds all data ({show_size(used)})",
                               wanted, "", figures)  # fmt: skip
        return CheckResult("buffer-pool", WARN, f"{found}; data {show_size(used)}", wanted, advice,
                           figures)  # fmt: skip
    return CheckResult("buffer-pool", OK, found, wanted, "", figures)


def _memory(facts: Facts) -> Optional[int]:
    machine = facts.db_machine
    if facts.database_is_local:
        machine = facts.database.get("machine")
    total = (machine or {}).get("memory", {}).get("MemTotal")
    return None if total is None else int(total)


def file_per_table(facts: Facts) -> CheckResult:
    """innodb_file_per_table: without it, optimizing gives no disk space back."""
    value = facts.database.get("variables", {}).get("innodb_file_per_table")
    if value is None:
        return _not_asked("file-per-table", facts, "ON")
    if value in ("ON", "1"):
        return CheckResult("file-per-table", OK, "ON", "ON")
    return CheckResult("file-per-table", WARN, str(value), "ON",
                       "innodb_file_per_table = ON in the server's configuration; "
                       "tables move out of ibdata when they are rebuilt")  # fmt: skip


def archiving(facts: Facts) -> CheckResult:
    """What archive_invalidations says: waiting work, and archives in progress."""
    wanted = "nothing in progress"
    seen = facts.database.get("invalidations")
    if not isinstance(seen, dict) or "error" in seen:
        return _not_asked("archiving", facts, wanted, (seen or {}).get("error", ""))
    queued, running = seen["queued"], seen["in_progress"]
    found = f"{queued} waiting, {running} in progress"
    if not running:
        return CheckResult("archiving", OK, found, wanted, "", dict(seen))
    last = seen["last_started"]
    now = facts.probe("machine").get("clock") or last
    found += f", the last since {show_epoch(last)} ({show_duration(now - last)})" if last else ""
    return CheckResult(
        "archiving", WARN, found, wanted,
        "if no archiver runs (check archivers), they are left over from one that was killed: "
        "console core:reset-invalidations --idsite=… frees them; else wait for it",
        dict(seen),
    )  # fmt: skip


def _not_asked(name: str, facts: Facts, wanted: str, why: str = "") -> CheckResult:
    reason = why or facts.database_error or "the server did not say"
    return CheckResult(name, UNKNOWN, reason, wanted, "see check database; then again")
