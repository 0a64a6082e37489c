"""What a scheduled command line does to Matomo, and to which Matomo. Looks at files, runs nothing.

A line may go through variables, ``cd``, ``su -c``, ``flock`` and scripts (two levels deep) before
it comes to a console; the console is compared by inode, so a docroot behind a symlink is the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Optional

ARCHIVE, TASKS, QUEUE, CONSOLE = "archive", "tasks", "queue", "console"
ALL = (ARCHIVE, TASKS, QUEUE, CONSOLE)

_NAMED = (
    (ARCHIVE, re.compile(
        r"\bcore:archive\b(?![\w-])|\barchive\.php\b|\bclimulti:request\b|\brunCronArchiving\b"
        r"|(?:misc/cron|matomo|piwik)\S*archive\.sh\b"
    )),
    (TASKS, re.compile(
        r"\bscheduled-tasks:run\b|\bcore:run-scheduled-tasks\b"
        r"|\b(?:CoreAdminHome\.runScheduledTasks)\b"
    )),
    (QUEUE, re.compile(r"\bqueuedtracking:(?:process|monitor)\b")),
)  # fmt: skip
_COMMAND = re.compile(r"(?<![\w.-])console[\"']?[\s,\"']+(?:-\S+\s+)*([a-z][\w-]*(?::[\w-]+)+)")
_ELSEWHERE = re.compile(
    r"(?:^|[\s;&|('\"/])(docker|docker-compose|podman|kubectl|ssh|lxc|incus|nsenter|machinectl)\s"
)
_STATEMENT = re.compile(r"&&|\|\||[;|\n()]")
_ENTRY_POINT = re.compile(r"[^\s'\"=,;&|<>()]*?(?:console|archive\.(?:php|sh))(?=[\s'\",;&|)]|$)")
_SET = re.compile(
    r"^\s*(?:export\s+|readonly\s+|local\s+)?([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s\"']*)\s*$"
)
_CD = re.compile(
    r"^[\s{\"'(!]*(?:(?:if|then|do|else)\s+)?(?:builtin\s+)?(?:cd|pushd)\s+"
    r"(?:--\s+|-P\s+)?(\"[^\"]*\"|'[^']*'|[^\s\"']+)"
)
_SELF = re.compile(r"\$\(\s*dirname\s+[\"']?\$\{?(?:0|BASH_SOURCE(?:\[0\])?)\}?[\"']?\s*\)"
                   r"|`\s*dirname\s+[\"']?\$0[\"']?\s*`|\$\{0%/\*\}")  # fmt: skip
_NAME = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_REDIRECTION = re.compile(r"\d*[<>]+&?\s*\S+")
_BARE = ("/usr/local/bin", "/usr/local/sbin")
_LARGEST = 65536
_DEPTH = 2
_STANDARD = re.compile(r"^/etc/cron\.(?:hourly|daily|weekly|monthly|yearly)/?$")


@dataclass(frozen=True)
class Meaning:
    """``kinds`` of work; ``ours``: True, False: another installation's, None: it cannot be told.

    ``via``: the scripts that lead there; ``elsewhere``: docker, ssh … where it goes through one.
    """

    kinds: tuple[str, ...] = ()
    ours: Optional[bool] = None
    via: tuple[str, ...] = ()
    elsewhere: str = ""


def meaning(
    command: str, docroot: str, environment: Optional[Mapping[str, str]] = None, cwd: str = ""
) -> Meaning:
    """What ``command`` (a line of shell, or a whole script) comes to in the end."""
    kinds: set[str] = set()
    places: list[Optional[bool]] = []
    via: list[str] = []
    elsewhere = ""
    for text, path in _texts(command, dict(environment or {}), cwd, _DEPTH):
        here = kinds_of(text)
        if path and not here:
            continue
        kinds.update(here)
        via += [path] if path else []
        far = _ELSEWHERE.search(text)
        elsewhere = elsewhere or (far[1] if far else "")
        known = environment or {}
        places += [None] if far else [
            _same(one, docroot) for one in _entry_points(text, known, cwd)
        ]  # fmt: skip
    ours = True if True in places else None if None in places or not places else False
    return Meaning(tuple(k for k in ALL if k in kinds), ours, tuple(via), elsewhere)


def kinds_of(text: str) -> list[str]:
    """The kinds of work that a text names itself. Pure."""
    found = [kind for kind, pattern in _NAMED if pattern.search(text)]
    others = [m[1] for m in _COMMAND.finditer(text) if not _is_named(m[1])]
    return found + ([CONSOLE] if others else [])


def _is_named(command: str) -> bool:
    return any(pattern.search(command) for _, pattern in _NAMED)


def wanted(found: Meaning, what: tuple[str, ...], text: str) -> bool:
    """Is it of this installation, or may it be, and of the kinds that are asked for? Pure."""
    if found.ours is False or not set(found.kinds) & set(what):
        return False
    # `bin/console app:work` is any Symfony program's: a guess needs a better reason.
    guess = found.ours is None and set(found.kinds) == {CONSOLE}
    return not guess or bool(re.search(r"(?i)matomo|piwik", text))


def _texts(command: str, known: dict[str, str], cwd: str, depth: int) -> Iterator[tuple[str, str]]:
    """The command itself, then the scripts that it calls: (text, path or '')."""
    yield command, ""
    level, seen = [(command, cwd)], set()
    for _ in range(depth):
        following = []
        for text, folder in level:
            for path in _called(text, known, folder):
                real = os.path.realpath(path)
                content = "" if real in seen else read_script(path)
                seen.add(real)
                if content:
                    yield content, path
                    following.append((content, os.path.dirname(path)))
        level = following


def _called(text: str, known: Mapping[str, str], cwd: str) -> Iterator[str]:
    """Files that a text may call: by path, or by a name found in /usr/local."""
    for statement, folder, names in _statements(text, known, cwd):
        words = re.findall(r"[^\s'\"]+", _REDIRECTION.sub(" ", expand(statement, names)))
        for number, word in enumerate(words):
            if "/" in word:
                path = os.path.join(folder or "/", _tilde(word, names))
                if os.path.isdir(path) and number and "run-parts" in words[:number]:
                    if not _STANDARD.match(path):  # those are looked at by themselves
                        yield from (os.path.join(path, n) for n in sorted(os.listdir(path)))
                elif not _ENTRY_POINT.fullmatch(word):
                    yield path
            elif re.fullmatch(r"[\w.-]+", word):
                yield from (f"{place}/{word}" for place in _BARE)


def read_script(path: str) -> str:
    """The small text file without comments, continued lines joined; '' for anything else."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _LARGEST:
            return ""
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
    except OSError:
        return ""
    if b"\0" in data:
        return ""
    text = data.decode(errors="replace").replace("\\\n", " ")
    own = os.path.dirname(os.path.abspath(path))
    text = _SELF.sub(lambda m: own, text)
    return "\n".join(x for x in text.splitlines() if not x.lstrip().startswith("#"))


def expand(text: str, known: Mapping[str, str]) -> str:
    """Variables replaced as far as they are known. Pure."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        return known.get(name, found[2] if found[2] is not None else found[0])

    return _NAME.sub(value, text)


def _statements(
    text: str, known: Mapping[str, str], cwd: str
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Each statement with the folder and the variables that it finds: ``cd x && y``."""
    names, folder = dict(known), cwd
    for statement in _STATEMENT.split(text):
        setting = _SET.match(statement)
        if setting:
            names[setting[1]] = expand(setting[2].strip("\"'"), names)
        # su -c 'cd /x && …': what stands in front of the cd is of no interest
        moved = _CD.match(re.sub(r"^.*?-c\s+[\"']", "", statement))
        if moved:
            target = _tilde(expand(moved[1].strip("\"'"), names), names)
            folder = os.path.join(folder or "/", target)
            continue
        yield statement, folder, names


def _tilde(path: str, names: Mapping[str, str]) -> str:
    return names.get("HOME", "~") + path[1:] if path[:2] in ("~", "~/") else path


def _entry_points(text: str, known: Mapping[str, str], cwd: str) -> Iterator[str]:
    start = cwd or known.get("HOME", "")
    for statement, folder, names in _statements(text, known, start):
        for word in _ENTRY_POINT.findall(expand(statement, names)):
            if not kinds_of(statement) and os.path.basename(word) == "console":
                continue  # `echo "to the console"`
            yield word if word.startswith("/") else os.path.join(folder or "?", word)


def _same(path: str, docroot: str) -> Optional[bool]:
    """True: it is in this docroot. None: it is not there, or a variable is left in it."""
    if "://" in path or "$" in path:
        return None
    for own in (f"{docroot}/console", f"{docroot}/misc/cron/{os.path.basename(path)}"):
        try:
            if os.path.samefile(path, own):
                return True
        except OSError:
            continue
    real = os.path.realpath(path)
    if real.startswith(os.path.realpath(docroot) + "/"):
        return True
    return False if os.path.exists(path) else None
