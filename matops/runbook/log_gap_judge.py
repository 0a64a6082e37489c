"""Is a gap that was cut whole, and can it be replayed? What speaks against it, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matops.accesslog.verdict import BODY, KEEP, RECORDED, UNREAD, Window
from matops.errors import Refused
from matops.matomo import ini
from matops.units import show_duration, show_epoch

HOLES, ADDRESSES = "holes", "addresses"
"""What ``--accept-holes`` and ``--accept-addresses`` let pass."""
SKEW = 2.0
"""Seconds that the clocks of two servers may differ before it is said."""

_WRITTEN = "No gap file was written"


def forwarded(config: ini.Sections) -> str:
    """Which address of a forwarded-for field Matomo takes: 'last', 'first', '' = the client's
    own (no proxy_client_headers; Piwik\\IP::getIpFromHeader)."""
    if not ini.list_of(config, "General", "proxy_client_headers"):
        return ""
    last = ini.text_of(config, "General", "proxy_ip_read_last_in_list", "1")
    return "first" if last in ("0", "") else "last"


def refuse(report: dict[str, Any], window: Window, accept: Sequence[str], config: ini.Sections,
           docroot: str) -> None:  # fmt: skip
    """Raises Refused for a gap that is not whole, or that would ruin the visits."""
    _refuse_nothing(report, window)
    if HOLES not in accept:
        _refuse_holes(report, window)
    if ADDRESSES not in accept:
        _refuse_addresses(report, config)


def _refuse_nothing(report: dict[str, Any], window: Window) -> None:
    first, last = report["first_line"], report["last_line"]
    if first is None or last is None or first >= window.end or last < window.start:
        seen = "no line at all" if first is None or last is None else (
            f"lines from {show_epoch(first)} to {show_epoch(last)}")  # fmt: skip
        raise Refused(
            f"no log has lines of {show_epoch(window.start)} to {show_epoch(window.end)}: there "
            f"is {seen}",
            state=_WRITTEN,
            next="are the rotated logs gone, or elsewhere (--logs DIR)? logs.retention shows what "
            "there is",
        )


def _refuse_holes(report: dict[str, Any], window: Window) -> None:
    for hole in report["holes"]:
        raise Refused(
            f"HOLE: {hole['log']} has no line from {show_epoch(hole['from'])} to "
            f"{show_epoch(hole['to'])} ({show_duration(hole['to'] - hole['from'])})"
            + _more(len(report["holes"]) - 1),
            state=_WRITTEN,
            next="find the missing file (--logs DIR), or, if the server stood still then, "
            "--accept-holes",
        )
    for log in report["logs"]:
        for file in log["files"]:
            if file["damage"] and file["last"] >= window.start:
                raise Refused(
                    f"{file['path']}: {file['damage']}; its lines end at "
                    f"{show_epoch(file['last'])}",
                    state=_WRITTEN,
                    next="bring a whole copy (--logs DIR), or --accept-holes",
                )
    if report["line_before"] is None:
        raise Refused(
            f"the log begins at {show_epoch(report['first_line'])}, within the window: no line "
            "of before it is there",
            state=_WRITTEN,
            next="find the earlier file (--logs DIR), or, if this server is as young as that, "
            "--accept-holes",
        )
    if report["line_after"] is None:
        raise Refused(
            f"the log ends at {show_epoch(report['last_line'])}, before the window does "
            f"({show_epoch(window.end)})",
            state=_WRITTEN,
            next="are its lines buffered? Wait a minute and run this again, or --accept-holes",
        )
    unread = report["reasons"].get(UNREAD, 0)
    seen = sum(report["reasons"].values())
    if unread > max(5, seen // 100):
        raise Refused(
            f"{unread} of {seen} lines that name the tracker are not understood",
            state=_WRITTEN,
            next="look at their format (access_logs names the right log), or --accept-holes",
        )


def _more(count: int) -> str:
    return f", and {count} more" if count > 0 else ""


def _refuse_addresses(report: dict[str, Any], config: ini.Sections) -> None:
    seen = report["visitors"]
    what = {
        "none": "the log has no client addresses",
        "names": f"the log has names instead of client addresses ({seen['commonest']})",
    }.get(seen["verdict"], "")
    behind = bool(ini.list_of(config, "General", "proxy_client_headers"))
    # Where Matomo itself looks at no header, it saw the very address that the log has.
    if seen["verdict"] == "one" and behind:
        what = (
            f"{100 * seen['share']:.0f} % of the hits come from {seen['commonest']}, a proxy: "
            "Matomo takes the visitor's address from a header that this log does not have"
        )
    if not what or not seen["without_id"]:
        return
    raise Refused(
        f"{what}; {seen['without_id']} of {seen['hits']} hits name no visitor: replayed, they "
        "would become one visitor for each kind of browser, and all visits would have one place",
        state=_WRITTEN,
        next="use the proxy's own logs (--logs DIR), or --accept-addresses; for the next time: "
        "mod_remoteip, or set_real_ip_from",
    )


def notes(part: dict[str, Any], window: Window) -> list[str]:
    """What an operator should know of one server's part: losses first."""
    found = []
    reasons = part["reasons"]
    bodies = reasons.get(BODY, 0)
    hits = sum(part["statuses"].values()) + bodies
    if bodies:
        found.append(
            f"LOST: {bodies} POST requests whose parameters no log holds, {_share(bodies, hits)} "
            "of all (URLs over 2 000 characters, bulk requests); each is one hit or more"
        )
    if reasons.get(UNREAD):
        found.append(f"LOST, perhaps: {reasons[UNREAD]} lines that were not understood")
    visitors = part["visitors"]
    if visitors["verdict"] == "masked":
        found.append(
            f"addresses are masked in the log: the {visitors['without_id']} hits that name no "
            "visitor are told apart by these and by browser only; their place is rough"
        )
    if visitors["verdict"] == "one":
        found.append(f"{_share(visitors['hits'], visitors['hits'])} of the hits come from "
                     f"{visitors['commonest']}, as Matomo itself sees it")  # fmt: skip
    decided = part["decided"]
    if decided["inside"]:
        found.append(
            f"{decided['inside']} of {decided['samples']} hits looked up within the window had "
            "been recorded: the database was asked about every hit"
        )
    found += [f"HOLE: {h['log']}, {show_epoch(h['from'])} to {show_epoch(h['to'])}, accepted"
              for h in part["holes"]]  # fmt: skip
    return [*found, *part["notes"]]


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %" if total else "0 %"


def account(reasons: dict[str, int]) -> list[tuple[int, str]]:
    """``(count, what)``: to be replayed first, then recorded, then the rest by size."""
    order = {KEEP: 0, RECORDED: 1}
    ranked = sorted(reasons.items(), key=lambda kv: (order.get(kv[0], 2), -kv[1], kv[0]))
    return [(count, {KEEP: "to be replayed"}.get(reason, reason)) for reason, count in ranked]
