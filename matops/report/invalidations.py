"""How ``invalidations.size`` looks to people: one screen, the verdict last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

from matops.mysql.invalidations.verdict import Advice, rounded
from matops.report.tables import table
from matops.units import show_duration, show_size

PERIODS = {"1": "day", "2": "week", "3": "month", "4": "year", "5": "range"}
_FEW, _WIDE = 5, 70


def screen(found: dict[str, Any], advice: Sequence[Advice]) -> Iterator[str]:
    """The whole screen, a block at a time."""
    found = _printable(found)
    yield _head(found)
    yield "\n".join(_status(found))
    if found["rows"]:
        yield _sites(found)
        yield _names(found)
        yield "\n".join(_spread(found))
    yield "\n".join(_around(found))
    yield "\n".join(_uncovered(found["uncovered"]))
    notes = list(_notes(found))
    if notes:
        yield "\n".join(f"note: {note}" for note in notes)
    yield "\n".join(verdict_lines(advice))


def _printable(value: Any) -> Any:
    """The same without line breaks and escape codes: segments, reports and hosts are named by
    users, and shown on an operator's terminal."""
    if isinstance(value, dict):
        return {key: _printable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(one) for one in value]
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "?" for c in value)
    return value


def verdict_lines(advice: Sequence[Advice]) -> Iterator[str]:
    """``verdict: stuck``, the reason, the command: for each."""
    yield "verdict: " + ", then ".join(one.word for one in advice)
    for one in advice:
        yield f"  {one.word}: {one.why}"
        if one.command:
            yield f"    type: {one.command}"


def number(value: Optional[int], share: float = 1.0) -> str:
    """``1,234``; ``~ 1,200,000`` where only a share was looked at; ``?`` where not known."""
    if value is None:
        return "?"
    return rounded(value, share < 1)


def _head(found: dict[str, Any]) -> str:
    one, share = found["table"], 1.0 if found["exact"] else 0.0
    size = ("" if one["file_known"] else "~ ") + show_size(one["bytes"])
    return (
        f"{found['schema']}.{one['name']} on {found['server']}: "
        f"{number(found['rows'], share)} rows, {size} on disk "
        f"(data {show_size(one['data_bytes'])}, index {show_size(one['index_bytes'])})"
    )


def _status(found: dict[str, Any]) -> Iterator[str]:
    status, share = found["status"], found["share"]["rows"]
    timeout = show_duration(status["recovery_seconds"])
    seen = "" if share >= 1 else " seen"
    rows = [
        ("queued", number(status["queued"], share), ""),
        ("in progress", f"{status['fresh']:,}{seen}", f"started less than {timeout} ago"),
        ("… too long", f"{status['stale']:,}{seen}", f"recovery time-out {timeout} is over"),
        ("… no start", f"{status['no_start']:,}{seen}", "no ts_started: never freed by Matomo"),
    ]
    if status["other"]:
        rows.append(
            ("other status", number(status["other"], share), "never taken by Matomo: not 0, not 1")
        )
    yield table(("status", "rows", ""), rows)
    for row in status["rows"][:_FEW]:
        age = "no start" if row["age"] is None else f"since {show_duration(row['age'])}"
        yield (f"  in progress: site {row['idsite']} {PERIODS.get(str(row['period']), '?')} "
               f"{row['date1']} {row['name'][:50]}, {age}, process {row['process'] or '?'} on "
               f"{row['host'] or '?'}")  # fmt: skip


def _sites(found: dict[str, Any]) -> str:
    sites, share = found["sites"], found["share"]["index"]
    rows = [
        (one["idsite"], number(one["rows"], share), _part(one["rows"], found["rows"]),
         "deleted" if one["deleted"] else "")
        for one in sites["top"]
    ]  # fmt: skip
    if sites["others"]:
        others = "" if sites["number"] is None else f"{sites['number'] - len(sites['top']):,} "
        rows.append((f"{others}others", number(sites["others"], share),
                     _part(sites["others"], found["rows"]), ""))  # fmt: skip
    return table(("site", "rows", "share", ""), rows)


def _names(found: dict[str, Any]) -> str:
    names, share = found["names"], found["share"]["rows"]
    rows = [
        (one["shown"][:_WIDE], number(one["rows"], share), _part(one["rows"], found["rows"]),
         "" if one["built_by_archiver"] else "not archived ahead: the archiver drops these rows")
        for one in names["top"]
    ]  # fmt: skip
    if names["others"]:
        others = names["number"] - len(names["top"])
        rows.append((f"{others:,} others", number(names["others"], share),
                     _part(names["others"], found["rows"]), ""))  # fmt: skip
    return table(("segment, plugin", "rows", "share", ""), rows)


def _spread(found: dict[str, Any]) -> Iterator[str]:
    by_index, by_rows = found["share"]["index"], found["share"]["rows"]
    if found["periods"]:
        parts = (f"{PERIODS.get(k, k)} {number(v, by_index)}" for k, v in found["periods"].items())
        yield f"periods: {', '.join(parts)}"
    ages = (f"{name} {number(value, by_rows)}" for name, value in found["ages"].items())
    yield f"age of queued rows: {', '.join(ages)}; oldest {found['oldest'] or '?'} UTC"
    reports = found["reports"]
    if reports["top"]:
        parts = (f"{one['report']} {number(one['rows'], by_rows)}" for one in reports["top"][:_FEW])
        yield f"for one report only: {', '.join(parts)}"
    double = found["duplicates"]
    part = "" if double["part"] is None else f" ({100 * double['part']:.1f} % of the queued)"
    superfluous = number(double["rows"], found["share"]["duplicates"])
    deleted = number(found["sites"]["deleted_rows"], by_index)
    yield f"superfluous duplicates: {superfluous}{part}; rows of deleted sites: {deleted}"
    kept = (f"{days} days {number(rows, by_index)}" for days, rows in found["keep"].items())
    yield f"truncate --keep-days would keep: {', '.join(kept)}"


def _around(found: dict[str, Any]) -> Iterator[str]:
    archiver = found["archiver"]
    state = {True: "runs", False: f"none runs, as far as {archiver['host']} sees",
             None: "unknown whether it runs"}  # fmt: skip
    yield f"archiver: {state[archiver['running']]}"
    for why in archiver["why"][:_FEW]:
        yield f"  {why}"
    yield f"pace: {_pace(found)}"
    waiting = found["refill"]
    days = f"{waiting['days']:,}{'+' if waiting['more'] else ''} days"
    span = f", {waiting['first']} to {waiting['last']}" if waiting["first"] else ""
    yield (f"will be added: {waiting['listed']} entries of ReArchiveList; {days} of "
           f"{waiting['sites']:,} sites (report_to_invalidate_*){span}")  # fmt: skip
    if waiting["unreadable"]:
        yield f"  {waiting['unreadable']:,} more entries of ReArchiveList cannot be read"
    for entry in waiting["entries"][:_FEW]:
        parts = [f"{k} {entry[k]}" for k in ("plugin", "report", "segment") if entry[k]]
        yield f"  re-archive {', '.join(parts) or 'everything'} of sites {entry['sites']}"


def _pace(found: dict[str, Any]) -> str:
    pace = found["pace"]
    parts = []
    if pace["left"] is not None:
        more = f", {pace['added']:,} came" if pace["added"] is not None else ""
        parts.append(f"{pace['left']:,} rows left{more} in {show_duration(pace['seconds'])}"
                     f" ({pace['how']})")  # fmt: skip
    if pace["hour"] is not None:
        parts.append(f"{pace['hour']:,} archives written in the last hour, "
                     f"{pace['day']:,} in the last day")  # fmt: skip
    queued, per_day = found["status"]["queued"], pace["per_day"]
    if not queued:
        parts.append("nothing is queued")
    elif not per_day:
        parts.append("days to finish: unknown")
    else:
        parts.append(f"{show_duration(86400 * queued / per_day)} to finish at best")
    parts.append(f"{found['added_per_day']:,} rows of the last day wait still")
    return "; ".join(parts)


def _uncovered(bare: dict[str, Any]) -> Iterator[str]:
    looked = f"{bare['looked']} of {bare['of']} archive tables looked at"
    yield (f"marked invalid, and no row asks for them: {bare['total']:,} archives; besides "
           f"{bare['on_request']:,} that are built when somebody looks, and "
           f"{bare['deleted_sites']:,} of deleted sites ({looked})")  # fmt: skip
    for one in bare["sites"][:_FEW]:
        yield (f"  site {one['idsite']}: {one['count']:,} archives, "
               f"{one['first']} to {one['last']}")  # fmt: skip
    if len(bare["sites"]) > _FEW:
        yield "  … (--json lists more)"


def _notes(found: dict[str, Any]) -> Iterator[str]:
    share, one = found["share"], found["table"]
    if min(share.values()) < 1:
        yield (f"~ figures are estimates from an even sample, for lack of time (--max-seconds): "
               f"index {share['index']:.0%}, rows {share['rows']:.0%}, "
               f"duplicates {share['duplicates']:.0%} looked at")  # fmt: skip
    if found["never_taken"]:
        yield (f"{number(found['never_taken'], share['rows'])} queued rows have no ts_invalidated, "
               "or one in the future by over an hour: the archiver does not take them")  # fmt: skip
    if found["exchanged"]:
        yield "the table was exchanged or altered meanwhile: figures are mixed, look again"
    bare = found["uncovered"]
    for name, why in list(bare["failed"].items())[:_FEW]:
        yield f"{name} could not be read: {why}"
    late = [name for name in bare["left_out"] if name not in bare["failed"]]
    if late:
        number_late = bare["of"] - bare["looked"] - len(bare["failed"])
        yield f"not looked at for lack of time: {late[0]} and older ({number_late} tables)"
    if one["extra_columns"]:
        yield f"columns that Matomo does not make: {', '.join(one['extra_columns'])}"
    for what in ("triggers", "foreign_keys"):
        if one[what]:
            yield f"{what.replace('_', ' ')}: {', '.join(one[what])}"
    if one["beside"]:
        names = ", ".join(f"{b['name']} ({show_size(b['bytes'])})" for b in one["beside"][:_FEW])
        yield f"beside it: {names}"
    if not one["index"]:
        yield "the index (idsite, date1, period) is missing: Matomo and this look are slow"


def _part(rows: int, total: int) -> str:
    return f"{100 * rows / total:.1f} %" if total else ""
