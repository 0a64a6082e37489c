"""The one place where an identifier becomes part of a statement."""

from __future__ import annotations


def quote(name: str) -> str:
    """```name``` with its backticks doubled. ValueError for '' and NUL, which no name has."""
    if not name or "\0" in name:
        raise ValueError(f"not an identifier: {name!r}")
    return "`" + name.replace("`", "``") + "`"


def fill(statement: str, names: dict[str, str], *, bound: bool) -> str:
    """Puts quoted identifiers for ``{{mark}}``; doubles their ``%`` where values are bound."""
    for mark, name in names.items():
        quoted = quote(name)
        statement = statement.replace(
            "{{" + mark + "}}", quoted.replace("%", "%%" if bound else "%")
        )
    return statement
