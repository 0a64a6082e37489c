"""An alert to the operators in the middle of an outage: mail, and a command of their own.

For the night, not for the customers (that is ``notify``): may repeat, never stops what it warns
of. Everything goes out from the host, so that it also works where nobody is connected any more.
"""

from __future__ import annotations

from collections.abc import Callable

from matops.errors import MatopsError
from matops.matomo.site import Site
from matops.runbook import notices
from matops.runbook.journal import Journal
from matops.runbook.notices import Notice
from matops.units import compact_time, show_time, utc_now

TIMEOUT = 30.0  # seconds for sendmail, and for the command


def send(site: Site, what: str, text: str, *, by: str = "matops") -> list[str]:
    """Sends to every channel of the settings; a line for each that did or did not take it.

    ``what``: the alert in some words, for the subject; ``text``: the state, and what to do. Goes
    to the journal, too. Raises nothing: an alert that fails must not end what it watches.
    """
    lines = []
    try:
        Journal(site, f"alert.{compact_time(utc_now())}", by).write("alert", "told", text=text)
    except MatopsError as error:
        lines.append(f"the journal could not be written: {error.what}")
    subject = f"[matops] {site.host.name}: {what}"
    body = f"{text}\n\n{site.host.name}, {site.docroot}, {show_time(utc_now())}\n"
    for recipient in site.settings.alert_to:
        lines.append(_tried(f"mail to {recipient}", _mail, site, subject, body, recipient))
    if site.settings.alert_command:
        lines.append(_tried("alert_command", _command, site, subject, body))
    return lines


def configured(site: Site) -> bool:
    """Is there anybody to be told?"""
    return bool(site.settings.alert_to or site.settings.alert_command)


def _tried(name: str, how: Callable[..., None], *words: object) -> str:
    try:
        how(*words)
    except MatopsError as error:
        return f"{name}: failed: {error.what}"
    return f"{name}: sent"


def _mail(site: Site, subject: str, body: str, recipient: str) -> None:
    sender = site.settings.notice_from or f"matops@{site.machine.get('hostname') or 'localhost'}"
    data = notices.mail(Notice("alert", subject, body), sender, recipient, utc_now())
    site.host.run(
        'exec "$1" -t -oi', site.settings.notice_sendmail,
        stdin=data, timeout=TIMEOUT, what="sendmail",
    )  # fmt: skip


def _command(site: Site, subject: str, body: str) -> None:
    site.host.run(
        'exec sh -c "$1"', site.settings.alert_command, user=site.keeper,
        stdin=f"{subject}\n\n{body}".encode(), timeout=TIMEOUT, what="alert_command",
    )  # fmt: skip
