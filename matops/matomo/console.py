"""Matomo's ``console``: run as the web user, in the docroot, with stdin closed.

Its exit codes lie: many commands end with 0 although they did nothing. ``judge`` turns what it
printed into the truth; the rules were measured on 5.3.1 and 5.8.0.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused, UsageError
from matops.host.shell import Result
from matops.matomo.site import Site

OK, FAILED, NOTHING, UNKNOWN = "ok", "failed", "did nothing", "outcome unknown"


@dataclass(frozen=True)
class Verdict:
    """What really happened, why we think so, and what to do about it."""

    status: str
    why: str = ""
    next: str = ""


# (command, pattern in the output, verdict): the first that fits decides. Command '' = any.
_RULES: tuple[tuple[str, str, Verdict], ...] = (
    ("plugin:", r"Cannot find plugin files", Verdict(
        FAILED, "no such plugin in plugins/", "check the name, and that its folder is not nested")),
    ("core:archive", r"Archiving won't run because maintenance mode is enabled", Verdict(
        NOTHING, "maintenance mode is on, so nothing was archived", "switch it off first")),
    ("core:archive", r"Reached maximum concurrent archivers|archivers are already running", Verdict(
        NOTHING, "as many archivers as --concurrent-archivers allows run already",
        "wait for them, or allow more")),
    ("core:update", r"Database upgrade not executed", Verdict(
        NOTHING, "without --yes core:update only shows its statements", "add --yes")),
    ("core:update", r"\[X\]|Critical Error during the update", Verdict(
        FAILED, "a migration failed", "read the statement above, repair, run it again")),
    ("core:update", r"\[!\]", Verdict(
        FAILED, "a plugin failed and was deactivated although it says 'successfully updated'",
        "look at the plugin named above")),
    ("", r"SQLSTATE\[HY000\] \[(2002|2003|2006)\]", Verdict(
        FAILED, "the database cannot be reached", "start it, or check [database]")),
    ("", r'There are no commands defined|Command "[^"]*" is (not|ambiguous)', Verdict(
        FAILED, "no such console command in this version", "console list shows them")),
    ("config:get", r"Nothing found", Verdict(
        OK, "absent, or 0: config:get shows both as 'Nothing found'", "config:get SECTION")),
    ("core:archive", r"Processed 0 archives", Verdict(
        OK, "nothing was archived: no site chosen, nothing invalid, or rows in progress block",
        "look at archive_invalidations (status = 1)")),
    ("queuedtracking:process", r"\(0 requests", Verdict(
        OK, "no request was processed: fewer than a batch, or record_statistics = 0",
        "--force-num-requests-process-at-once=1 takes partial batches")),
)  # fmt: skip


def judge(command: str, code: int, output: str) -> Verdict:
    """The truth about one console call, from its name, exit code and output. Pure."""
    for name, pattern, verdict in _RULES:
        if code and verdict.status in (OK, NOTHING):
            continue  # these words excuse nothing where it also says that it failed
        if command.startswith(name) and re.search(pattern, output):
            return verdict
    if code == 0:
        return Verdict(OK)
    if code in (255, 137, 139, 143, 134) and not re.search(r"Error|Exception|SQLSTATE", output):
        return Verdict(
            UNKNOWN, f"php ended with {code} and no message: killed or crashed",
            "find out how far it came before running it again",
        )  # fmt: skip
    return Verdict(FAILED, _last_line(output) or f"exit code {code}")


def _last_line(output: str) -> str:
    # Symfony prints its message in the middle, the command's usage at the end.
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"(?i)error|exception|invalid|not |fail", line)]
    return (telling or lines or [""])[-1][:300]


def split(command: str) -> list[str]:
    """The words of a command typed as one text. UsageError for '' and unbalanced quotes."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"console command {command!r}: {error}") from None
    if words[:1] and words[0].endswith("console"):
        words = words[1:]
    if not words:
        raise UsageError('no console command given; for example: console "core:archive"')
    return words


def guard(words: Sequence[str]) -> None:
    """Refused for a call that does harm in a way its author hardly meant."""
    # Symfony takes any unambiguous beginning of a name, and short flags bundled: -qn.
    silent = any(re.match(r"-[a-zA-Z]*n|--no-i", word) for word in words)
    names = [word for word in words if not word.startswith("-")]
    if names and _may_be(names[0], "core:delete-logs-data") and silent:
        raise Refused(
            "core:delete-logs-data with -n deletes without asking (its default answer is yes)",
            state="Nothing was deleted",
            next="use logs.delete: it counts first and asks",
        )


def _may_be(typed: str, command: str) -> bool:
    parts, whole = typed.split(":"), command.split(":")
    return len(parts) == len(whole) and all(w.startswith(p) for p, w in zip(parts, whole))


def command_line(site: Site, words: Sequence[str], code: str = "") -> str:
    """The shell command for a job or a call; to be run in the docroot as the web user.

    ``code``: PHP in the console's place, which runs it (``console_session``). Refused where that
    user is not known, or is root: root's cache files break the tracker.
    """
    if site.web_user in ("", "root"):
        why = site.facts.get("web_user_why") or "config.ini.php belongs to root"
        raise Refused(
            f"which user runs Matomo's PHP cannot be told ({why})",
            host=site.host.name,
            state="Nothing was run",
            next="set web_user in config/matops.yaml",
        )
    return shlex.join([site.php, *(["-r", code, "--"] if code else ["console"]), *words])


def run(
    site: Site,
    words: Sequence[str],
    *,
    timeout: Optional[float] = None,
    stdin: bytes = b"",
    code: str = "",
) -> tuple[Result, Verdict]:
    """A short call: its raw result and the truth. Long ones belong into a job. ``code``: see
    ``command_line``."""
    script = f'cd -- "$1" && exec {command_line(site, words, code)}'
    result = site.host.run(
        script, site.docroot, user=site.worker, stdin=stdin,
        timeout=timeout, check=False, what=f"console {words[0]}",
    )  # fmt: skip
    output = result.text + result.err.decode(errors="replace")
    return result, judge(words[0], result.code, output)


def raise_unless_ok(site: Site, words: Sequence[str], verdict: Verdict) -> None:
    """Turns a verdict into the error it is; nothing for OK."""
    if verdict.status == OK:
        return
    kind = OutcomeUnknown if verdict.status == UNKNOWN else MatopsError
    raise kind(
        f"console {' '.join(words)}: {verdict.status}: {verdict.why}",
        host=site.host.name,
        next=verdict.next,
    )
