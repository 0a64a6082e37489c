"""What a scratch database is called, and the GRANT that lets an account have one. Pure."""

from __future__ import annotations

import hashlib
import re

from matops.errors import UsageError
from matops.mysql.quote import quote

SENTINEL = "matops_sentinel"
"""The table that says whose a scratch database is; no table of Matomo's is called that."""

_NAME = re.compile(r"matops_rehearsal_[0-9a-f]{8}")


def scratch_name(live: str, prefix: str) -> str:
    """``matops_rehearsal_<hash>``: the same for ever for one installation, so that its GRANT is
    given once, and another one for a second installation on the same server."""
    digest = hashlib.sha256(f"{live}\0{prefix}".encode()).hexdigest()
    return f"matops_rehearsal_{digest[:8]}"


def check_name(name: str) -> str:
    """The name, if we could have made it. UsageError else: nothing of another name is dropped."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name} is not the name of a scratch database of matops")
    return name


def pattern(name: str) -> str:
    """A schema's name as GRANT wants it: there an underscore is a wild card unless escaped."""
    return re.sub(r"([\\%_])", r"\\\1", name)


def grant_for(name: str, account: str) -> str:
    """The statement to paste, so that ``account`` (``'matomo'@'%'``) may have it."""
    return f"GRANT ALL PRIVILEGES ON {quote(pattern(name))}.* TO {account};"
