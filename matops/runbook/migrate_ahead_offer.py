"""What the last rehearsal offers ``migrate.ahead``: its migrations, with the server's verdicts."""

from __future__ import annotations

from matops.matomo.rehearsal import SQL, Migration, Rehearsal
from matops.mysql import ddl
from matops.mysql.ahead.choose import INPLACE, INSTANT, Offered


def offers(rehearsal: Rehearsal) -> list[Offered]:
    """One for each migration, in order. Pure."""
    return [_one(each) for each in rehearsal.migrations]


def _one(each: Migration) -> Offered:
    sql = each.kind == SQL
    tables = tuple(each.tables) or None
    return Offered(each.number, each.statement, tables, not sql, way(each) if sql else "")


def way(each: Migration) -> str:
    """INSTANT, INPLACE (with LOCK=NONE), or in words why not. Pure."""
    if each.verdict is None:
        return f"the server was not asked how ({each.verdict_error})" if each.verdict_error else ""
    verdict = ddl.from_data(each.verdict)
    if len(each.verdicts) > 1:
        return "several statements in one"
    if verdict.online and verdict.algorithm in (INSTANT, INPLACE):
        return verdict.algorithm
    why = f" ({verdict.reason})" if verdict.reason else ""
    if verdict.algorithm == "nothing":
        return f"nothing is left to do{why}"
    return f"the server does not do it online: {verdict.algorithm}, lock {verdict.lock}{why}"
