"""What a server answers, as proof that a switch took effect: exit codes and files do not tell.

All run on the host as the keeper (logs and sockets are root's to see) and take two to three
seconds at most, more only where nobody answers. None raises for a server that does not answer:
that is an answer, too. Answers are dicts ``{url, where, public, status, error, kind,
location}``; ``public`` ones went through the public name, the others to a socket of this very
server. ``kind``: the words of ``witness_http``.
"""

from __future__ import annotations

from typing import Any

from matops.matomo import ini, witness_there
from matops.matomo.site import Site
from matops.matomo.witness_http import MAINTENANCE, OFF, QUEUE, RECORDING, SILENT, UI

Answers = list[dict[str, Any]]


def ui(site: Site) -> Answers:
    """What the UI (index.php) answers: here, and through the public URL."""
    found: Answers = _there(site, "witness_there:ui", url=site.settings.url)
    return _from_here(site, found, "index.php")


def tracker(site: Site) -> Answers:
    """What the tracker (a bare matomo.php, which cannot record anything) answers."""
    found: Answers = _there(site, "witness_there:tracker", url=site.settings.url)
    return _from_here(site, found, "matomo.php")


def marker(site: Site) -> dict[str, Any]:
    """Sends markers through the public URL and to this very server; which logs got them.

    ``witness_logs.mark`` says what comes back.
    """
    settings = site.settings
    found: dict[str, Any] = _there(
        site, "witness_logs:mark", url=settings.url, access_logs=list(settings.access_logs)
    )
    return found


def arrival(site: Site, patience: float = 2.0) -> dict[str, Any]:
    """``tracker`` and ``marker`` in one round trip: ``{"tracker": …, "marker": …}``.

    ``patience``: seconds for the markers' lines to appear.
    """
    settings = site.settings
    logs = list(settings.access_logs)
    found: dict[str, Any] = _there(
        site, "witness_there:arrival", url=settings.url, access_logs=logs, patience=patience
    )
    return {**found, "tracker": _from_here(site, found["tracker"], "matomo.php")}


def health(site: Site) -> Answers:
    """Health checks of load balancers: as seen in the logs, and what they are answered now."""
    settings = site.settings
    found: Answers = _there(site, "witness_there:health", access_logs=list(settings.access_logs),
                            asked=list(settings.health_checks))  # fmt: skip
    return found


def reached(answers: Answers, kind: str) -> Answers:
    """The answers of that kind."""
    return [each for each in answers if each["kind"] == kind]


def shown(answers: Answers) -> str:
    """``503 maintenance page: stats.example.org (public), 127.0.0.1:80``, for a line."""
    places: dict[str, list[str]] = {}
    for each in answers:
        kind = f"{each['status']} {each['kind']}" if each["status"] else each["error"] or SILENT
        name = str(each["url"]).partition("://")[2].partition("/")[0]
        place = f"{name} (public)" if each["public"] else f"{name} at {each['where']}"
        places.setdefault(kind, []).append(place)
    return "; ".join(f"{kind}: {', '.join(where)}" for kind, where in places.items())


def _there(site: Site, function: str, **payload: Any) -> Any:
    return site.agent.call(
        f"matops.matomo.{function}", {"docroot": site.docroot, **payload}, user=site.keeper
    )


def _from_here(site: Site, found: Answers, file: str) -> Answers:
    """Where the host itself does not reach the public name, the operator's machine may."""
    if site.host.is_local or any(each["public"] and each["status"] for each in found):
        return found
    names = ini.list_of(site.config, "General", "trusted_hosts")
    page = _there(site, "witness_there:page")
    mine = witness_there.public(names[0] if names else "", site.settings.url, page, file)
    answered = [each for each in mine if each["status"]]
    return [*answered, *(each for each in found if not (answered and each["public"]))]


__all__ = [
    "MAINTENANCE", "OFF", "QUEUE", "RECORDING", "UI", "arrival", "health", "marker", "reached",
    "shown", "tracker", "ui",
]  # fmt: skip
