"""Edits ``config/config.ini.php`` key by key, in place of Matomo's ``config:set``.

``edit(site, …)`` is called by steps; ``change`` and the rest run on the host. What is promised:
every byte but the changed values stays; the file is exchanged in one rename, and never a half
one is there; owner, mode, ACL and SELinux context stay; the previous version is kept outside
the docroot; PHP itself has read the new text, and found nothing else changed, *before* it takes
the old one's place; a change by somebody else meanwhile is noticed and not lost.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import json
import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from matops.errors import MatopsError, Refused
from matops.matomo import config_file, ini_edit
from matops.matomo.config_file import SAME

if TYPE_CHECKING:
    from matops.matomo.site import Site

Edit = Sequence[Any]
"""``[section, key, value]``: a text, a list of texts, None = remove, or ``{"raw": …}`` = put
these characters there as they stand (how ``before`` hands them out, to put them back)."""

_TRIES = 5  # somebody else may be writing, too

# Both scanner modes, as Matomo's IniReader needs them. -n: no php.ini, no prepended file.
_PHP = (
    "$t = json_decode(stream_get_contents(STDIN), true); $o = array();"
    'foreach ($t as $x) { $x = base64_decode($x) . "\\n"; $o[] = array('
    "@parse_ini_string($x, true), @parse_ini_string($x, true, INI_SCANNER_RAW)); }"
    "echo json_encode($o, JSON_INVALID_UTF8_SUBSTITUTE);"
)

# Matomo's own reader, as GlobalSettingsProvider makes it; without its cache and bootstrap.php,
# and without vendor/autoload.php, which runs code of every library (and fails in Debian's layout).
_MATOMO = (
    '$a = json_decode(stream_get_contents(STDIN), true); $r = $a["docroot"];'
    "spl_autoload_register(function ($n) use ($r) { $n = basename(strtr($n, chr(92), '/'));"
    'foreach (array("matomo/ini/src", "php/matomo/ini", "piwik/ini/src") as $d) {'
    'if (is_file("$r/vendor/$d/$n.php")) { require "$r/vendor/$d/$n.php"; return; } } });'
    'require "$r/core/Config/IniFileChain.php"; $d = "$r/config";'
    '$c = new Piwik\\Config\\IniFileChain(array("$d/global.ini.php", "$d/common.config.ini.php"),'
    ' "$d/config.ini.php"); $o = array(); foreach ($a["keys"] as $k) { $s = $c->get($k[0]);'
    ' $o[$k[0] . "." . $k[1]] = isset($s[$k[1]]) ? $s[$k[1]] : null; }'
    'echo "matops:" . json_encode($o);'
)


def edit(site: Site, edits: Sequence[Edit], *, timeout: Optional[float] = None) -> dict[str, Any]:
    """``change`` on that server, as the keeper: the folder may not be the web user's to write.

    The previous version is kept in ``<state_dir>/config``. Raises what ``change`` raises.
    """
    answer = _changed(site, edits, timeout)
    if not answer["changed"]:
        return answer
    try:
        found = through_matomo(site, [each[:2] for each in edits])
        why = "its PHP does not run here"
    except MatopsError as error:
        # The change is done, and was read back: an error now would look as if it were not.
        found, why = None, error.what
    if found is None:
        answer["notes"].append(f"not read back through Matomo: {why}")
        return answer
    for name, now in answer["after"].items():
        if now is not None and not _alike(now["value"], found.get(name)):
            undo = [[*name.split(".", 1), before_edit(answer, name)] for name in answer["before"]]
            _changed(site, undo, timeout)
            raise MatopsError(
                f"Matomo reads {name} otherwise than it was written to {answer['path']}",
                host=site.host.name,
                state="The previous value is back",
                next="look at bootstrap.php: it may choose another configuration file",
            )
    return answer


def _changed(site: Site, edits: Sequence[Edit], timeout: Optional[float]) -> dict[str, Any]:
    answer: dict[str, Any] = site.agent.call(
        "matops.matomo.config_edit:change",
        {"docroot": site.docroot, "edits": [list(each) for each in edits],
         "keep": f"{site.state_dir}/config", "php": site.php},
        user=site.keeper,
        timeout=timeout,
    )  # fmt: skip
    return answer


def before_edit(answer: dict[str, Any], name: str) -> Any:
    """The value of an edit that puts back what was there, to the letter; None = remove it.

    ``name``: ``Section.key``; ``answer``: of ``change``, or of ``look`` under "before".
    """
    found = answer["before"][name]
    return None if found is None else {"raw": found["raw"]}


def through_matomo(site: Site, keys: Sequence[Sequence[str]]) -> Optional[dict[str, Any]]:
    """What Matomo's own reader finds, ``{"Section.key": value}``; None where it does not run.

    Its defaults are in force where config.ini.php has no such key. As the web user: the code of
    the docroot is never run as root.
    """
    asked = json.dumps({"docroot": site.docroot, "keys": [list(key) for key in keys]})
    done = site.host.run(
        [site.php, "-r", _MATOMO], user=site.worker, stdin=asked.encode(), check=False,
        what="read the configuration through Matomo",
    )  # fmt: skip
    try:
        found = json.loads(done.text.rpartition("matops:")[2])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list):
        many = theirs if isinstance(theirs, list) else []
        return len(ours) == len(many) and all(map(_alike, ours, many))
    text = {"True": "1", "False": "", "None": ""}.get(str(theirs), str(theirs))
    number = _number(ours)
    return text == ours or (number is not None and number == _number(text))


def _number(text: Any) -> Optional[float]:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def trouble(site: Site) -> str:
    """Why ``edit`` would not do on that server; '' where it would. Leaves no trace."""
    return str(
        site.agent.call(
            "matops.matomo.config_edit:problem", {"docroot": site.docroot}, user=site.keeper
        )
    )


def look(docroot: str, keys: Sequence[Sequence[str]]) -> dict[str, Any]:
    """``{"General.maintenance_mode": {"value": …, "raw": …}}`` of config.ini.php itself.

    None where the key is absent there (a default may be in force).
    """
    text, _ = config_file.read(config_file.path_of(docroot))
    found = ini_edit.read(text)
    return {f"{s}.{k}": _both(found, s, k) for s, k in keys}


def change(docroot: str, edits: Sequence[Edit], keep: str = "", php: str = "php") -> dict[str, Any]:
    """Makes all ``edits`` in one exchange; nothing where all is so already.

    ``{"path", "changed", "kept": path of the previous version, "before", "after": as look() has
    them, "at": {"before", "after"} = this server's clock around the rename (None where nothing
    changed), "notes": [what an operator should hear]}``. Raises Refused and PrivilegeMissing
    before anything changed; MatopsError where what is there afterwards is not what was written.
    """
    path = config_file.path_of(docroot)
    wanted = [_edit(each) for each in edits]
    config_file.sweep(path)
    for _ in range(_TRIES):
        text, seen = config_file.read(path)
        try:
            new = ini_edit.apply(text, wanted)
        except ValueError as error:
            raise Refused(f"a value cannot be written to {path}: {error}", state=SAME) from None
        keys = [(section, key) for section, key, *_ in wanted]
        answer = {"path": path, "changed": new != text, "kept": "", "at": None, "notes": [],
                  "before": _looked(text, keys), "after": _looked(new, keys)}  # fmt: skip
        if new == text:
            return answer
        notes = _compare(text, new, keys, php, path)
        kept = config_file.keep(path, text, keep, docroot)
        done = config_file.exchange(path, text, new, seen)
        if done is None:
            continue  # somebody else wrote it meanwhile: once more, from what is there now
        forget_cached(docroot)
        _read_back(path, new, keys)
        at = {"before": done.before, "after": done.after}
        return {**answer, "kept": kept, "at": at, "notes": [*notes, *done.notes]}
    raise MatopsError(
        f"{path} is written by somebody else again and again",
        state="It is as they left it",
        next="see who writes it (the UI? a deployment tool?), then run this again",
    )


def _edit(each: Edit) -> tuple[str, str, Optional[ini_edit.Value], bool]:
    section, key, value = each
    if isinstance(value, dict):
        return section, key, value["raw"], True
    return section, key, value, False


def _both(found: ini_edit.Ini, section: str, key: str) -> Optional[dict[str, Any]]:
    raw = found.raw(section, key)
    return None if raw is None else {"value": found.get(section, key), "raw": raw}


def _looked(text: str, keys: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found = ini_edit.read(text)
    return {f"{s}.{k}": _both(found, s, k) for s, k in keys}


def _compare(old: str, new: str, keys: Sequence[tuple[str, str]], php: str, path: str) -> list[str]:
    """PHP reads both texts: nothing but ``keys`` may differ. Refused; a note where it cannot."""
    asked = json.dumps([base64.b64encode(config_file.encode(text)).decode() for text in (old, new)])
    try:
        done = subprocess.run(
            [php, "-n", "-r", _PHP], input=asked.encode(), capture_output=True, timeout=30
        )
        before, after = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return [f"the new text was not read by PHP beforehand: {php} does not run here"]
    if False in after and False not in before:
        raise Refused(
            f"PHP could not read {path} with this change", state=SAME,
            next="this is a bug of matops, or the file is very odd: change it by hand",
        )  # fmt: skip
    for then, now in zip(before, after):
        if then is False:
            return [f"{path} cannot be read by PHP as it is: it has a syntax error"]
        odd = _differing(then, now) - set(keys)
        if odd:
            section, key = sorted(odd)[0]
            raise Refused(
                f"this change to {path} would change [{section}] {key}, too", state=SAME,
                next="the file is odd near there: change it by hand",
            )  # fmt: skip
    return []


def _differing(then: Any, now: Any) -> set[tuple[str, str]]:
    odd: set[tuple[str, str]] = set()
    then, now = ({**(each if isinstance(each, dict) else {})} for each in (then, now))
    for section in {*then, *now}:
        old, new = then.get(section, {}), now.get(section, {})
        if not isinstance(old, dict) or not isinstance(new, dict):  # PHP's [] for an empty one
            old, new = (each if isinstance(each, dict) else {} for each in (old, new))
        odd |= {(section, key) for key in {*old, *new} if old.get(key) != new.get(key)}
    return odd


def _read_back(path: str, new: str, keys: Sequence[tuple[str, str]]) -> None:
    text, _ = config_file.read(path)
    if text != new and _looked(text, keys) != _looked(new, keys):
        raise MatopsError(
            f"{path} does not hold what was written to it",
            state="Somebody else has written it since",
            next="see who writes it, then run this again",
        )


def forget_cached(docroot: str) -> None:
    """Removes Matomo's copy of the configuration, where bootstrap.php switched that on.

    With ``ENABLE_CONFIG_PHP_CACHE`` the file is read once an hour at most (core/Config/Cache).
    """
    for path in glob.glob(f"{glob.escape(docroot)}/tmp/*/cache/tracker/config.ini.php"):
        with contextlib.suppress(OSError):
            os.unlink(path)


def forget_cached_there(site: Site) -> None:
    """``forget_cached`` on that server."""
    site.agent.call(
        "matops.matomo.config_edit:forget_cached", {"docroot": site.docroot}, user=site.keeper
    )


def problem(docroot: str) -> str:
    """Why the file could not be changed, in one line; '' where it could. Leaves no trace."""
    path = config_file.path_of(docroot)
    try:
        config_file.sweep(path)
        text, seen = config_file.read(path)
        with config_file.prepared(path, text, seen):
            return ""
    except MatopsError as error:
        return error.what
