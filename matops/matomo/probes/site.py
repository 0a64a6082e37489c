"""Facts of the Matomo installation's files. Runs on the host, stdlib only.

asked: ``docroot`` ('' = look in the usual places), ``web_user`` and ``php`` ('' = found).
``web_user`` is '' where it cannot be told or is root; ``web_user_why`` says how it is known, or
why it is not.
No secret leaves the host: values of password-like keys are replaced before anything is sent.
"""

from __future__ import annotations

import glob
import grp
import json
import os
import pwd
import re
import shutil
import subprocess
from typing import Any

Facts = dict[str, Any]

USUAL = (
    "/var/www/html /var/www/html/matomo /var/www/html/piwik /var/www/matomo /var/www/piwik "
    "/var/www/*/ /var/www/*/htdocs /var/www/*/public_html /srv/www/* /srv/matomo "
    "/opt/matomo /usr/share/nginx/html /usr/share/matomo"
).split()
SECRET = re.compile(
    r"(?i)^(\s*[;#]*\s*[\w.\[\]-]*"
    r"(?:pass|pwd|salt|token|secret|licen[cs]e|api[_-]?key|credential|key(?=[\s\[=]))"
    r"[\w.\[\]-]*\s*=).*"
)
"""A line whose key sounds like a secret: what follows the = is hidden. Comments count too."""
_INLINE = re.compile(r"(?i)(://[^/\s:@]*:(?=[^/\s@]+@)|\btoken_auth=)[^\s@&\"']+")
ENTRY = re.compile(r"^\s*(?:$|[;#\[]|[\w.\[\]-]+\s*=)")
"""A line that begins something new: a value of many lines has ended before it."""
HIDDEN = r'\1 "<hidden>"'
WORKER = re.compile(
    r"(?P<php>php-fpm[\d.]*|php-cgi[\d.]*|lsphp[\d.]*)$|(?P<apache>apache2|httpd)$|(?P<nginx>nginx)$"
)

# Only the one line that PHP itself would print last; warnings go to stderr.
PHP = r"""
echo json_encode(array("version" => PHP_VERSION, "extensions" => get_loaded_extensions(),
  "memory_limit" => ini_get("memory_limit"), "ini" => php_ini_loaded_file(),
  "disabled" => ini_get("disable_functions"), "sapi" => PHP_SAPI, "binary" => PHP_BINARY,
  "int_size" => PHP_INT_SIZE));
"""


def collect(asked: Facts, found: Facts) -> Facts:
    """See the module. ``docroots`` lists all that look like Matomo; ``docroot`` is the one."""
    docroots = find(asked.get("docroot") or "")
    facts: Facts = {"docroots": docroots, "docroot": docroots[0] if len(docroots) == 1 else ""}
    facts["php"] = php(asked.get("php") or "")
    if facts["docroot"]:
        facts.update(describe(facts["docroot"], asked.get("web_user") or ""))
    return facts


def find(given: str) -> list[str]:
    places = [given] if given else [p for pattern in USUAL for p in sorted(glob.glob(pattern))]
    seen, docroots = set(), []
    for place in places:
        place = place.rstrip("/") or "/"
        real = os.path.realpath(place)
        if real not in seen and os.path.isfile(os.path.join(place, "core", "Version.php")):
            seen.add(real)
            docroots.append(place)
    return docroots


def describe(docroot: str, web_user: str) -> Facts:
    config = os.path.join(docroot, "config", "config.ini.php")
    facts: Facts = {
        "version": version(docroot),
        "real_docroot": os.path.realpath(docroot),
        "is_mount": os.path.ismount(docroot),
        "config": text(config),
        "config_stat": stat(config),
        "global": text(os.path.join(docroot, "config", "global.ini.php")),
        "common": text(os.path.join(docroot, "config", "common.config.ini.php")),
        "host_configs": sorted(
            os.path.basename(p)
            for p in glob.glob(os.path.join(docroot, "config", "*.config.ini.php"))
            if os.path.basename(p) != "common.config.ini.php"
        ),
        "manifest": os.path.isfile(os.path.join(docroot, "config", "manifest.inc.php")),
        "plugins": plugins(docroot),
    }
    owner = (facts["config_stat"] or stat(docroot) or {}).get("owner", "")
    facts["web_user"], facts["web_user_why"] = who(docroot, web_user, owner)
    return facts


def who(docroot: str, given: str, owner: str) -> tuple[str, str]:
    """The user that PHP runs as for the web, and how that is known; '' and why not.

    Never root: console as root leaves cache files behind that the web server cannot replace.
    """
    if given:
        if usable(given):
            return given, "the setting web_user"
        return "", f"the setting web_user names {given}, which is root or no account here"
    running = workers()
    if usable(owner) and (not running or any(owner in users for users in running.values())):
        return owner, "the owner of config.ini.php"
    belongs = f"config.ini.php belongs to {owner or 'nobody known'}"
    several: list[str] = []
    for kind in ("php", "apache", "nginx"):
        # A pool without a worker now (ondemand) is not seen; another site's must not be taken.
        fitting = [name for name in sorted(running.get(kind, ())) if may_work(docroot, name)]
        if len(fitting) == 1:
            return fitting[0], f"{kind} runs as it; {belongs}"
        if fitting:
            several = fitting
            break
    last = (stat(os.path.join(docroot, "tmp")) or {}).get("owner", "")
    if usable(last) and (not several or last in several):
        return last, f"the owner of tmp; {belongs}"
    if several:
        return "", f"{belongs}, and PHP may run as any of {', '.join(several)}"
    seen = ", ".join(sorted({name for users in running.values() for name in users}))
    nobody = f"{seen} (the web server) cannot work there" if seen else "no web server is seen"
    return "", f"{belongs}, and {nobody}"


def workers() -> dict[str, set[str]]:
    """Who runs PHP and web servers now: kind => users of the processes, without root."""
    users: dict[str, set[str]] = {}
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(folder + "/comm") as file:
                kind = WORKER.match(file.read().strip())
            if kind:
                name = user_name(os.stat(folder).st_uid)
                if kind.lastgroup and usable(name):
                    users.setdefault(kind.lastgroup, set()).add(name)
        except OSError:
            continue
    return users


def usable(name: str) -> bool:
    """True for an account of this host that is not root."""
    try:
        return bool(name) and pwd.getpwnam(name).pw_uid != 0
    except KeyError:
        return False


def may_work(docroot: str, name: str) -> bool:
    """Tried where we are root: it reads the configuration and writes to tmp; else True."""
    if os.geteuid() != 0:
        return True
    entry = pwd.getpwnam(name)
    test = 'test -r "$1/config/config.ini.php" && test -w "$1/tmp"'
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", test, "sh", docroot],
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=os.getgrouplist(name, entry.pw_gid),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def text(path: str) -> str | None:
    """The file with secrets hidden; None where it is not there or may not be read."""
    try:
        with open(path, errors="replace") as file:
            lines = file.read(400000).split("\n")
    except OSError:
        return None
    hidden, secret = [], False
    for line in lines:
        if secret and not ENTRY.match(line):
            continue  # the rest of a secret of many lines, as a key in PEM
        secret = bool(SECRET.match(line))
        hidden.append(SECRET.sub(HIDDEN, line) if secret else _INLINE.sub(r"\1<hidden>", line))
    return "\n".join(hidden)


def stat(path: str) -> Facts | None:
    try:
        data = os.stat(path)
    except OSError:
        return None
    return {
        "owner": user_name(data.st_uid),
        "group": group_name(data.st_gid),
        "mode": "%04o" % (data.st_mode & 0o7777),
        "size": data.st_size,
        "mtime": data.st_mtime,
        "readable": os.access(path, os.R_OK),
    }


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def version(docroot: str) -> str:
    try:
        with open(os.path.join(docroot, "core", "Version.php")) as file:
            match = re.search(r"const VERSION = '([^']+)'", file.read(20000))
            return match.group(1) if match else ""
    except OSError:
        return ""


def plugins(docroot: str) -> Facts:
    """name => version and declared requirements, from each plugin.json."""
    result = {}
    for path in sorted(glob.glob(os.path.join(docroot, "plugins", "*", "plugin.json"))):
        try:
            with open(path, errors="replace") as file:
                data = json.load(file)
            result[os.path.basename(os.path.dirname(path))] = {
                "version": str(data.get("version", "")),
                "require": data.get("require") or {},
            }
        except (OSError, ValueError, AttributeError):
            result[os.path.basename(os.path.dirname(path))] = {"version": "", "require": {}}
    return result


def php(given: str) -> Facts:
    """What the command line's PHP says of itself; ``error`` where there is none."""
    program = given or shutil.which("php", path=os.environ.get("PATH", "") + ":/usr/local/bin")
    if not program:
        return {"error": "no php on the PATH"}
    try:
        done = subprocess.run(
            [program, "-r", PHP],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
        )
        return dict(json.loads(done.stdout.decode()), program=program)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"error": f"{program}: {error}", "program": program}
