"""Reloads the web servers of this machine that run PHP, without cutting a request off."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

_APACHE = re.compile(r"apache2|httpd")
_FPM = re.compile(r"php-fpm[\d.]*")


def masters() -> Iterator[tuple[int, str]]:
    """(pid, name) of each web server's or PHP pool's first process."""
    names = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            names[int(pid)] = (name, int(rest.split()[1]))
        except (OSError, ValueError, IndexError):
            continue
    for number, (name, parent) in sorted(names.items()):
        known = _APACHE.fullmatch(name) or _FPM.fullmatch(name)
        if known and names.get(parent, ("", 0))[0] != name:
            yield number, name


def all_servers() -> list[str]:
    """Sends each the signal that its own ``reload`` sends; what was done, a line each.

    Apache: USR1, a graceful restart (httpd.apache.org/docs/2.4/stopping.html): requests in flight
    end in the old children. php-fpm: USR2; there ``process_control_timeout`` says how long
    requests in flight have, and it is 0 unless set.
    """
    done = []
    for pid, name in masters():
        number = signal.SIGUSR1 if _APACHE.fullmatch(name) else signal.SIGUSR2
        try:
            os.kill(pid, number)
            done.append(f"{name} (pid {pid}) was reloaded")
        except PermissionError:
            done.append(f"{name} (pid {pid}) could not be reloaded: only root may")
        except ProcessLookupError:
            continue
    return done
