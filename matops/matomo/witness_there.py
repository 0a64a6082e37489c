"""What this server answers now, in one call from afar. Runs on the host."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import Any

from matops.matomo import witness_http as http
from matops.matomo import witness_logs as logs

_SHOWN = ("url", "where", "public", "status", "error", "kind", "location")


def _targets(docroot: str, url: str) -> list[http.Target]:
    """With one name; with all where some have a configuration of their own (Config.php)."""
    found = http.targets(url, logs.config_text(docroot))
    base = glob.escape(docroot)
    own = glob.glob(f"{base}/config/*.config.ini.php") + glob.glob(
        f"{base}/misc/user/*/config.ini.php"
    )
    if any(os.path.basename(path) != "common.config.ini.php" for path in own):
        return found
    return [each for each in found if each["name"] == found[0]["name"]]


def ui(docroot: str, url: str) -> list[dict[str, Any]]:
    """Each answer of index.php: ``{url, where, public, status, error, kind, location}``."""
    page = http.page_text(docroot)
    found = http.ask_all(_targets(docroot, url), "index.php")
    return [_shown({**answer, "kind": http.ui_kind(answer, page)}) for answer in found]


def tracker(docroot: str, url: str) -> list[dict[str, Any]]:
    """Each answer of a bare matomo.php, as ``ui``."""
    found = http.ask_all(_targets(docroot, url), "matomo.php")
    return [_shown({**answer, "kind": http.tracker_kind(answer)}) for answer in found]


def public(name: str, url: str, page: str, what: str) -> list[dict[str, Any]]:
    """The public name alone, asked from where this runs. ``what``: index.php or matomo.php."""
    targets = http.targets(url, f'trusted_hosts[] = "{name}"' if name else "", here=False)
    kind = http.tracker_kind if what == "matomo.php" else lambda each: http.ui_kind(each, page)
    return [_shown({**each, "kind": kind(each)}) for each in http.ask_all(targets, what)]


def page(docroot: str) -> str:
    """The text by which the maintenance page is known."""
    return http.page_text(docroot)


def arrival(
    docroot: str, url: str, access_logs: Sequence[str], patience: float = logs.APPEAR
) -> dict[str, Any]:
    """``{"tracker": …, "marker": …}``, the markers sent last."""
    answers = tracker(docroot, url)
    return {"tracker": answers, "marker": logs.mark(docroot, url, access_logs, patience)}


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
