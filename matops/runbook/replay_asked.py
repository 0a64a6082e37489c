"""What ``logs.replay`` was asked, and what it says about what it found. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Callable

from matops.units import show_duration, show_epoch

NATIVE, IMPORT_LOGS = "native", "import_logs"
Track = Callable[[str, int, str], Any]
ORDINARY_RATE = 60.0  # hits a second and worker, for an estimate before anything is known


@dataclass(frozen=True)
class Asked:
    """``sites`` () = all; ``rate`` hits/s, 0 = as fast as the server bears; ``max_load``: times
    that a tracker request may take as long as before, 0 = never mind; times in seconds."""

    file: str = ""
    how: str = NATIVE
    workers: int = 4
    batch: int = 100
    max_load: float = 2.0
    rate: float = 0.0
    sites: tuple[int, ...] = ()
    url: str = ""
    token_file: str = ""
    import_logs: str = ""
    through_queue: bool = False
    check: bool = True
    timeout: float = 120.0
    patience: float = 600.0

    @property
    def words(self) -> list[str]:
        """The same as a command for the host."""
        found = ["logs.replay", *(["--file", self.file] if self.file else []), "--how", self.how]
        found += ["--workers", str(self.workers), "--batch", str(self.batch)]
        found += ["--max-load", f"{self.max_load:g}", "--rate", f"{self.rate:g}"]
        found += ["--timeout", f"{self.timeout:g}s", "--patience", f"{self.patience:g}s"]
        found += ["--sites", ",".join(map(str, self.sites))] if self.sites else []
        found += ["--url", self.url] if self.url else []
        found += ["--token-file", self.token_file] if self.token_file else []
        found += ["--import-logs", self.import_logs] if self.import_logs else []
        found += ["--through-queue"] if self.through_queue else []
        return [*found, *([] if self.check else ["--no-check"])]

    def data(self) -> dict[str, Any]:
        """For ``site.ask``; ``of`` is its inverse."""
        return {**asdict(self), "sites": list(self.sites)}


def of(data: dict[str, Any]) -> Asked:
    """From ``data()``."""
    return Asked(**{**data, "sites": tuple(data["sites"])})


def span(found: dict[str, Any]) -> str:
    """``12000 hits of 2026-… to 2026-…``."""
    first, last = show_epoch(found["first"]), show_epoch(found["last"])
    return f"{found['wanted']} hits of {first} to {last}"


def notes(asked: Asked, found: dict[str, Any]) -> list[str]:
    """What the operator should know before it starts."""
    lines = [_way(asked, found), _settings(found)]
    lines += [f"not sent: {n} hits, {reason}" for reason, n in sorted(found["skipped"].items())]
    if found["script"]:
        lines.append(
            f"by {found['script']}, one request at a time; it adds HTTP-code (a custom variable) "
            "and bw_bytes to each hit, and leaves out user agents with 'bot/', 'feed', 'curl' …; "
            "what it loses is found in the database and sent by our own client"
        )
    if found["no_address"]:
        lines.append(
            f"{found['no_address']} hits have no address in the log: they are recorded as of "
            "0.0.0.0; those without a visitor id become one visitor with an odd country"
        )
    if found["done"]:
        lines.append(f"an earlier run settled {found['done']} hits already: it goes on after them")
    if found["in_doubt"]:
        lines.append(
            f"{found['in_doubt']} batches were under way when that run ended: "
            "the database is asked before anything of them is sent again"
        )
    lines.append(
        "what no log holds stays lost: bodies of POST requests, Accept-Language (visitors without "
        "a visitor id may be counted anew), client hints, cookies, Do-Not-Track"
    )
    lines.append(
        "as with any tracking: Matomo leaves out bots and excluded addresses, marks finished "
        "reports of those days as to be built anew, runs no scheduled tasks for bulk requests"
    )
    return lines


def _way(asked: Asked, found: dict[str, Any]) -> str:
    if asked.through_queue:
        return "through the queue (--through-queue): recorded when the queue is worked off"
    if found["queue"]:
        return "around the queue: queuedtracking=0 in the URL; live hits go through it meanwhile"
    return "there is no queue in force; queuedtracking=0 is sent all the same"


def _settings(found: dict[str, Any]) -> str:
    maintenance = "on (Matomo tracks all the same)" if found["maintenance"] else "off"
    whole = (
        "a batch is one transaction: recorded whole or not at all"
        if found["transaction"]
        else "[Tracker] bulk_requests_use_transaction is off: a batch that fails may be recorded "
        "in part, and is looked through hit by hit"
    )
    return f"maintenance_mode is {maintenance}; {whole}"


def action(asked: Asked, found: dict[str, Any]) -> str:
    """``replay 12000 hits of … natively, 4 workers, about 2 min``."""
    scope = f", only site {', '.join(map(str, asked.sites))}" if asked.sites else ""
    left = found["wanted"] - found["done"]
    rate = asked.rate or ORDINARY_RATE * asked.workers
    return (
        f"replay {span(found)}{scope}: {asked.workers} workers, batches of {asked.batch}, "
        f"roughly {show_duration(left / rate)}"
    )


def told(found: dict[str, Any]) -> str:
    """The account in one line."""
    totals = found["totals"]
    text = f"{totals['settled']} of {found['wanted']} hits settled"
    before = totals["settled"] - totals["sent"]
    text += f" ({before} were recorded before)" if before > 0 else ""
    refused = sum(totals["refused"].values())
    if refused:
        text += f", {refused} refused by Matomo"
    account = found.get("account")
    if not account:
        return text
    text += f"; the database holds {account['once']} of them once"
    for key, words in (
        ("many", "MORE THAN ONCE"),
        ("none", "not at all (Matomo leaves out bots, excluded addresses and the like)"),
    ):
        if account[key]:
            text += f", {account[key]} {words}"
    unclear = sum(account["unclear"].values())
    return text + (f", of {unclear} it cannot tell" if unclear else "")


def reasons(found: dict[str, Any]) -> Sequence[str]:
    """Why hits were refused, or cannot be told; a line each."""
    lines = [f"  refused: {n}: {why}" for why, n in sorted(found["totals"]["refused"].items())]
    unclear = (found.get("account") or {}).get("unclear", {})
    return [*lines, *(f"  cannot be told: {n}: {why}" for why, n in sorted(unclear.items()))]
