"""What this server answers now, in one call from afar. Runs on the host."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from matops.matomo import witness_http as http
from matops.matomo import witness_logs as logs

_SHOWN = ("url", "where", "public", "status", "error", "kind", "location")


def ui(docroot: str, url: str) -> list[dict[str, Any]]:
    """Each answer of index.php: ``{url, where, public, status, error, kind, location}``."""
    page = http.page_text(docroot)
    found = http.ask_all(http.targets(url, logs.config_text(docroot)), "index.php")
    return [_shown({**answer, "kind": http.ui_kind(answer, page)}) for answer in found]


def tracker(docroot: str, url: str) -> list[dict[str, Any]]:
    """Each answer of a bare matomo.php, as ``ui``."""
    found = http.ask_all(http.targets(url, logs.config_text(docroot)), "matomo.php")
    return [_shown({**answer, "kind": http.tracker_kind(answer)}) for answer in found]


def public(name: str, url: str, page: str, what: str) -> list[dict[str, Any]]:
    """The public name alone, asked from where this runs. ``what``: index.php or matomo.php."""
    targets = http.targets(url, f'trusted_hosts[] = "{name}"' if name else "", here=False)
    kind = http.tracker_kind if what == "matomo.php" else lambda each: http.ui_kind(each, page)
    return [_shown({**each, "kind": kind(each)}) for each in http.ask_all(targets, what)]


def page(docroot: str) -> str:
    """The text by which the maintenance page is known."""
    return http.page_text(docroot)


def both(docroot: str, url: str) -> dict[str, Any]:
    """``{"ui": …, "tracker": …, "clock": this server's, seconds since 1970, "page": …}``."""
    return {
        "ui": ui(docroot, url),
        "tracker": tracker(docroot, url),
        "page": page(docroot),
        "clock": time.time(),
    }


def health(docroot: str, access_logs: Sequence[str], asked: Sequence[str]) -> list[dict[str, Any]]:
    """The health checks of load balancers, and what each would be answered now (``now``).

    Asked as they ask: this server by its address, not by its name.
    """
    found = logs.health_checks(access_logs, asked)
    targets = [each for each in http.targets("", "") if not each["public"]]
    for check in found:
        answers = [
            http.ask({**target, "name": target["address"]}, check["path"], method=check["method"],
                     agent=check["agent"] or http.AGENT)
            for target in targets
        ]  # fmt: skip
        check["now"] = next((each["status"] for each in answers if each["status"]), 0)
    return found


def _shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: answer[key] for key in _SHOWN}
