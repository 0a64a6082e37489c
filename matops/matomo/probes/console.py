"""Does console work, and does it reach its database? Runs on the host, stdlib only.

Exit codes lie, and many commands never ask the database: measured on 5.3.1 with the server
stopped, ``core:version``, ``plugin:list``, ``config:get`` and ``list`` end with 0 all the same.
``customdimensions:info`` reads the columns of two tables (0.2 s, changes nothing), so its own
words are the evidence. It runs as the web user, never as root: root would leave cache files
behind that the web server cannot replace.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
from typing import Any

Facts = dict[str, Any]

TRIES = (
    (["customdimensions:info"], r"Custom Dimensions available in scope"),
    # Where CustomDimensions is switched off (Matomo 5.2 and newer).
    (
        ["core:reset-invalidations", "--idsite=1", "--dry-run"],
        r"No invalidations found|invalidations found:",
    ),
)
ABSENT = re.compile(r"is not defined|There are no commands")
WAIT = 30  # seconds


def collect(asked: Facts, found: Facts) -> Facts:
    """``ran``, ``works`` (reached its database), ``code``, ``says`` (its last words), ``user``."""
    site = found.get("site", {})
    docroot, user = site.get("docroot"), site.get("web_user") or ""
    php = asked.get("php") or site.get("php", {}).get("program")
    if not docroot or not php:
        return {"ran": False, "reason": "no PHP for the command line" if docroot else "no Matomo"}
    if not os.path.isfile(os.path.join(docroot, "console")):
        return {"ran": False, "reason": "there is no file 'console' in the docroot"}
    if user in ("", "root"):
        return {
            "ran": False,
            "reason": f"whom to run it as is not known: {site.get('web_user_why')}",
        }
    me = pwd.getpwuid(os.getuid()).pw_name
    if me not in ("root", user):
        return {"ran": False, "reason": f"only {user} may run it, we are {me}"}
    facts: Facts = {}
    for words, evidence in TRIES:
        facts = run([php, "console", *words], docroot, user, me)
        facts["works"] = bool(re.search(evidence, facts.pop("out")))
        if not facts.pop("absent"):
            break
    return facts


def run(words: list[str], docroot: str, user: str, me: str) -> Facts:
    begun = time.time()
    facts: Facts = {"ran": True, "command": " ".join(words[1:]), "user": user, "absent": False}
    try:
        done = subprocess.run(
            words,
            cwd=docroot,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WAIT,
            umask=0o022,
            **({} if me == user else become(user)),
        )
        out = done.stdout.decode(errors="replace")
        facts.update(code=done.returncode, out=out, says=says(out))
        facts["absent"] = bool(ABSENT.search(out))
    except subprocess.TimeoutExpired:
        facts.update(code=None, out="", says=f"no answer within {WAIT} s")
    except (OSError, ValueError, KeyError) as error:
        facts.update(code=None, out="", says=str(error))
    facts["took"] = round(time.time() - begun, 2)
    return facts


def become(user: str) -> Facts:
    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(user, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def says(out: str) -> str:
    """The line that names the error, else the first one."""
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    for sign in (r"SQLSTATE", r"(?i)\b(error|exception|denied|failed)\b"):
        for line in lines:
            if re.search(sign, line):
                start = line.find("SQLSTATE")
                return re.sub(r"\s*\[Query:.*", "", line[max(start, 0) :])[:300]
    return lines[0][:300] if lines else ""
