"""core:update in the scratch database: run, read as it goes, asked a second time, and judged."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any, Callable

from matops.errors import MatopsError, Refused
from matops.matomo.rehearsal import CONSOLE, FOLLOWING, OTHER, SQL, Migration, Rehearsal
from matops.matomo.staged_console import StagedConsole
from matops.matomo.update_output import Step, UpdateOutput, component_of, version_of
from matops.mysql import ddl
from matops.mysql.scratch.database import Scratch
from matops.mysql.session import ConnectionCut

_WARNED = "error or warning logs detected"
_STRINGS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_FOLLOWS = "perhaps only because the one before it failed"


def rehearse(
    console: StagedConsole,
    scratch: Scratch,
    *,
    timeout: float,
    say: Callable[[str], object],
    to_version: str,
) -> Rehearsal:
    """Every migration with how it went; the rest of the result is the caller's to fill in.

    After a failure the migrations behind it are tried, as far as the server can be asked.
    Raises Refused where one names the live database, MatopsError where core:update cannot be
    run at all.
    """
    listed = console.ask("matops:migrations")
    _here_only(listed["migrations"], scratch.live)
    say(f"{len(listed['migrations'])} migrations to {to_version}")
    output = UpdateOutput()

    def hear(piece: str, now: float) -> None:
        for step in output.feed(piece, now):
            say(_line(step))

    code = console.stream(["core:update", "--yes"], hear, timeout)
    output.end()
    migrations = matched(output.steps, listed["migrations"])
    failed = [each for each in migrations if not each.ok]
    for each in failed:
        say(f"FAILED: {' '.join(each.statement.split())}: {each.error}")
    error = "; ".join(f"{' '.join(one.statement.split())}: {one.error}" for one in failed[:1])
    if not failed:
        error = _trouble(console, output, code, timeout)
    if error and output.critical:
        migrations += following(migrations, listed["migrations"])
    migrations = with_verdicts(scratch, migrations)
    return Rehearsal(
        from_version="", to_version=to_version, stage="", at=0, server="",
        ok=not error, error=error, migrations=migrations,
        plugins=[_component(str(name)) for name in listed["components"] if name != "core"],
        deactivated=output.deactivated, notes=warnings(output.text),
    )  # fmt: skip


def _here_only(listed: list[dict[str, Any]], live: str) -> None:
    # With Matomo's own account such a statement would reach the live tables, whatever database the
    # console is connected to; with an account of its own it would fail here only.
    for each in listed:
        if each["kind"] != CONSOLE and names_schema(each["statement"], live):
            whose = f"{each['component']} {each['file']}".strip()
            raise Refused(
                f"a migration of {whose} names the live database {live} itself, so it cannot run "
                f"on a copy: {' '.join(each['statement'].split())[:120]}",
                state="No migration was run; nothing live was changed",
                next="ask the plugin's author to use table names alone",
            )


def names_schema(statement: str, schema: str) -> bool:
    """True where it says ``schema.``, or USE; in doubt (a comment), too. Pure."""
    text = _STRINGS.sub("''", statement)
    name = re.escape(schema)
    named = rf"(?:`{re.escape(schema.replace('`', '``'))}`|(?<![\w$.@`]){name})"
    return bool(re.search(rf"(?i){named}\s*\.\s*[`\w]|\buse\s+`?{name}\b", text))


def _line(step: Step) -> str:
    words = " ".join(step.statement.split())
    words = words if len(words) <= 110 else f"{words[:109]}…"
    number = f"[{step.number}/{step.of}] " if step.number else "[failed] "
    return f"{number}{words}"


def _trouble(console: StagedConsole, output: UpdateOutput, code: int, timeout: float) -> str:
    """What is wrong where no migration failed by itself; '' where all is well."""
    if output.critical or (code and not warned(code, output.text)):
        return output.complaint() or f"core:update ended with exit code {code}"
    _, text = console.run(["core:update", "--yes"], timeout)
    if "Everything is already up to date" not in text:
        second = UpdateOutput()
        second.feed(text, 0)
        return "core:update says it is done, but a second one still finds something to do: " + (
            second.complaint()
            or ", ".join(step.statement for step in second.steps[:3])
            or text[-200:]
        )
    return ""


def warned(code: int, text: str) -> bool:
    """True where console ends with 1 only because something was logged (core/Console.php). Pure."""
    return code == 1 and _WARNED in text


def warnings(text: str) -> list[str]:
    """What core:update logged, a note each, the same one once. Pure."""
    found = re.findall(r"(?m)^\s*(?:WARNING|ERROR)\b[^\n]*", text) if _WARNED in text else []
    return [f"core:update logs: {' '.join(line.split())[:300]}" for line in dict.fromkeys(found)][
        :5
    ]


def matched(steps: list[Step], listed: list[dict[str, Any]]) -> list[Migration]:
    """What ran, with the component and file that the listing names for it. Pure.

    Migrations are made anew while core:update runs, so their texts may differ from the listing:
    such a one is known by the path in its error, or not at all.
    """
    left = list(listed)
    found = []
    for step in steps:
        one = next((each for each in left if same(each["statement"], step.statement)), None)
        if one:
            left.remove(one)
        found.append(_migration(step, one or {}))
    return found


def same(one: str, other: str) -> bool:
    """The same statement, but for white space and a closing semicolon. Pure."""
    return " ".join(one.split()).rstrip("; ") == " ".join(other.split()).rstrip("; ")


def _migration(step: Step, one: dict[str, Any]) -> Migration:
    statement = step.statement
    kind = one.get("kind") or _kind(statement)
    component = one.get("component") or component_of(step.file)
    return Migration(
        number=step.number,
        of=step.of,
        statement=statement,
        kind=kind,
        component=_component(component),
        file=_file(component, one.get("file") or version_of(step.file)),
        seconds=round(step.seconds, 3),
        ok=not step.error,
        error=step.error,
        ignores=list(one.get("ignores", [])),
    )


def _component(name: str) -> str:
    # A dimension's component is called "log_visit.x VARCHAR(40) NULL".
    return name.split()[0] if name.startswith("log_") else name


def _file(component: str, version: str) -> str:
    # And its "version" is the type once more.
    return "" if component.startswith("log_") else version


def _kind(statement: str) -> str:
    if statement.lstrip("./ ").startswith("console "):
        return CONSOLE
    found = ddl.read(statement)
    return SQL if found and found[0].known and found[0].kind != "other" else OTHER


def following(ran: list[Migration], listed: list[dict[str, Any]]) -> list[Migration]:
    """Those that core:update did not come to, as the listing has them. Pure."""
    done = [each.statement for each in ran]
    rest = []
    for one in listed:
        hit = next((text for text in done if same(text, one["statement"])), None)
        if hit is not None:
            done.remove(hit)
            continue
        rest.append(one)
    total = len(ran) + len(rest)
    return [
        Migration(
            number=len(ran) + place, of=total, statement=one["statement"], kind=one["kind"],
            component=one["component"], file=one["file"], ran_by=FOLLOWING,
            ignores=list(one["ignores"]),
        )
        for place, one in enumerate(rest, 1)
    ]  # fmt: skip


def with_verdicts(scratch: Scratch, migrations: list[Migration]) -> list[Migration]:
    """Each statement with its tables and the server's verdict, asked on fresh probe tables.

    A migration that core:update did not come to, and whose verdict is "fails", fails.
    """
    statements = [ddl.read(each.statement) if each.kind == SQL else [] for each in migrations]
    flat = [one for found in statements for one in found]
    why = ""
    try:
        verdicts = iter(ddl.probe(scratch.session, scratch.name, flat, source=scratch.live))
    except ConnectionCut:
        raise
    except MatopsError as error:
        verdicts, why = iter(()), error.line()
    asked = [
        _with(each, found, list(itertools.islice(verdicts, len(found))), why)
        for each, found in zip(migrations, statements)
    ]
    broken = {name for each in asked if not each.ok for name in each.tables}
    return [_judged(each, broken) for each in asked]


def _with(
    each: Migration, found: list[ddl.Statement], verdicts: list[ddl.Verdict], why: str
) -> Migration:
    data = [verdict.data() for verdict in verdicts]
    return dataclasses.replace(
        each,
        tables=list(dict.fromkeys(name for one in found for name in one.tables)),
        verdict=data[0] if data else None,
        verdicts=data,
        verdict_error=why if found else "",
    )


def _judged(each: Migration, broken: set[str]) -> Migration:
    """``broken``: tables whose migrations failed in core:update itself."""
    failing = next((data for data in each.verdicts if data["algorithm"] == "fails"), None)
    if each.ran_by != FOLLOWING or failing is None:
        return each
    follows = f"; {_FOLLOWS}" if broken.intersection(each.tables) else ""
    return dataclasses.replace(each, ok=False, error=f"{failing['reason']}{follows}")
