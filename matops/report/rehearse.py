"""How a rehearsal is shown: a row a migration, then what was proven and what cannot be seen."""

from __future__ import annotations

from collections.abc import Iterator

from matops.matomo.rehearsal import FOLLOWING, SQL, Migration, Rehearsal
from matops.units import show_duration, show_epoch

HEADERS = ("#", "whose", "result", "how", "statement")
_LONGEST = 240


def rows(result: Rehearsal) -> list[tuple[str, ...]]:
    """The table: number, component and file, ok or why not, the server's way, the statement."""
    return [
        (str(each.number), whose(each), outcome(each), how(each), shown(each))
        for each in result.migrations
    ]


def whose(each: Migration) -> str:
    """``core 5.6.0-b1``."""
    return f"{each.component} {each.file}".strip() or "?"


def outcome(each: Migration) -> str:
    """``ok``, ``failed``, or ``not reached``: core:update had stopped before."""
    if not each.ok:
        return "failed"
    return "not reached" if each.ran_by == FOLLOWING else "ok"


def how(each: Migration) -> str:
    """instant, inplace, copy, …: the server's way; the kind for what is no statement."""
    if each.kind != SQL:
        return each.kind
    return str((each.verdict or {}).get("algorithm", "?"))


def shown(each: Migration) -> str:
    """The statement, with the reason below where it failed."""
    text = " ".join(each.statement.split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return text if each.ok else f"{text}\n-> {each.error}"


def lines(result: Rehearsal) -> Iterator[str]:
    """What belongs under the table."""
    yield (
        f"{result.from_version} → {result.to_version} on {result.server}, an empty copy of "
        f"{result.tables} tables of {result.schema}, {show_epoch(result.at)}, "
        f"{show_duration(result.seconds)}"
    )
    for title, found in (
        ("proven", result.proofs),
        ("config.ini.php would change", result.config_changes),
        ("plugins it would switch off", result.deactivated),
        ("changed by others meanwhile", result.live_changes),
        ("note", result.notes),
    ):
        for line in found:
            yield f"{title}: {line}"
