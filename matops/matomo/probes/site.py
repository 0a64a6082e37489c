"""Facts of the Matomo installation's files. Runs on the host, stdlib only.

asked: ``docroot`` ('' = look in the usual places), ``web_user`` and ``php`` ('' = found).
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
    r"(?i)^(\s*[\w\[\]]*(password|passwd|salt|token|secret|license)[\w\[\]]*\s*=).*"
)
HIDDEN = r'\1 "<hidden>"'
BUDGET = 60000  # files looked at for their owner; a large site's tmp can hold more

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
    owner = web_user or (facts["config_stat"] or stat(docroot) or {}).get("owner", "")
    facts["web_user"] = owner
    facts["ownership"] = ownership(docroot, owner)
    return facts


def text(path: str) -> str | None:
    """The file with secrets hidden; None where it is not there or may not be read."""
    try:
        with open(path, errors="replace") as file:
            return "".join(SECRET.sub(HIDDEN, line) for line in file.read(400000).splitlines(True))
    except OSError:
        return None


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


def ownership(docroot: str, owner: str) -> Facts:
    """Entries of the writable and code folders that are not the web user's: count, examples."""
    wrong, looked = 0, 0
    examples: list[list[str]] = []
    for top in ("tmp", "config", "core", "plugins", "misc", "."):
        for folder, names, files in os.walk(os.path.join(docroot, top)):
            if top == ".":
                names[:] = []
            for name in files + names:
                path = os.path.join(folder, name)
                looked += 1
                try:
                    found = user_name(os.lstat(path).st_uid)
                except OSError:
                    continue
                if found != owner:
                    wrong += 1
                    if len(examples) < 5:
                        examples.append([os.path.relpath(path, docroot), found])
                if looked >= BUDGET:
                    return {"looked": looked, "wrong": wrong, "examples": examples, "all": False}
    return {"looked": looked, "wrong": wrong, "examples": examples, "all": True}


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
