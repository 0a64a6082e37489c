"""The notices to customers: announcement, start, end; from templates, in several languages. Pure.

A template is ``<notices_dir>/<language>/<kind>.txt``: a first line ``Subject: …``, an empty line,
the text; ``${name}`` stands for what is in ``Values``. An unknown name is an error, never a blank.
"""

from __future__ import annotations

import datetime as dt
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from typing import Any, Optional
from zoneinfo import ZoneInfo

from matops.errors import MatopsError, UsageError
from matops.settings import ROOT, Settings

ANNOUNCEMENT, START, END = "announcement", "start", "end"
KINDS = (ANNOUNCEMENT, START, END)
NO_CONTACT = "[notice_contact is not set]"
"""Stands in a preview; a notice with it is not sent."""
_NO_LINE_ENDS = re.compile(r"[\r\n\0\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNITS = {"de": ("Minuten", "Stunden"), "en": ("minutes", "hours"), "fr": ("minutes", "heures")}
_TIME = {"de": "%d.%m.%Y %H:%M", "en": "%Y-%m-%d %H:%M"}
_DAY = {"de": "%d.%m.%Y", "en": "%Y-%m-%d"}
_OF_WINDOW = ("start", "start_utc", "start_day", "end", "end_utc", "window")


@dataclass(frozen=True)
class Window:
    """When. ``start``: aware; ``seconds`` is what is announced; ``zone`` as it is to be told."""

    start: dt.datetime
    seconds: int
    zone: str = "UTC"

    @property
    def end(self) -> dt.datetime:
        """The end that is announced; by elapsed time, whatever the clocks do that night."""
        return self.start.astimezone(dt.timezone.utc) + dt.timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Notice:
    """One notice, of one or several languages."""

    kind: str
    subject: str
    text: str


def values(window: Optional[Window], from_version: str, to_version: str, settings: Settings,
           language: str, now: dt.datetime) -> dict[str, str]:  # fmt: skip
    """What the names in a template stand for. Times without a window are left out."""
    zone = ZoneInfo(window.zone if window else settings.notice_zone)
    found = {
        "service": settings.notice_service,
        "contact": settings.notice_contact or settings.notice_from or NO_CONTACT,
        "from_version": from_version,
        "to_version": to_version,
        "zone": zone.key,
    }
    moments = {"now": now}
    if window:
        moments.update(start=window.start, end=window.end)
        found["window"] = length(window.seconds, language)
        found["start_day"] = window.start.astimezone(zone).strftime(_DAY.get(language, "%Y-%m-%d"))
    for name, moment in moments.items():
        local = moment.astimezone(zone)
        shape = _TIME.get(language, "%Y-%m-%d %H:%M")
        found[name] = f"{local.strftime(shape)} {zone.key}"
        found[f"{name}_utc"] = f"{moment.astimezone(dt.timezone.utc):%Y-%m-%d %H:%M} UTC"
    return found


def length(seconds: int, language: str) -> str:
    """``45 minutes``, ``2:30 hours``."""
    minutes_word, hours_word = _UNITS.get(language, ("min", "h"))
    hours, minutes = divmod(seconds // 60, 60)
    if not hours:
        return f"{minutes} {minutes_word}"
    return f"{hours}:{minutes:02d} {hours_word}" if minutes else f"{hours} {hours_word}"


def compose(kind: str, settings: Settings, window: Optional[Window], from_version: str,
            to_version: str, now: dt.datetime) -> Notice:  # fmt: skip
    """The notice in all languages of the settings, one below the other; the first one's subject.

    Raises UsageError: no such template, a name in it that is not known or has no value.
    """
    parts = []
    for language in settings.notice_languages:
        known = values(window, from_version, to_version, settings, language, now)
        parts.append(_render(_template(settings.notices_dir, language, kind), known))
    if not parts:
        raise UsageError("setting notice_languages: names no language")
    rule = "\n" + "-" * 60 + "\n\n"
    return Notice(kind, parts[0][0], rule.join(text for _, text in parts))


def _template(folder: str, language: str, kind: str) -> Path:
    if not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{2,8})?", language):
        raise UsageError(f"setting notice_languages: '{language}' is no language")
    base = Path(folder).expanduser()
    return (base if base.is_absolute() else ROOT / base) / language / f"{kind}.txt"


def _render(path: Path, known: dict[str, str]) -> tuple[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}",
            next="make it, or change notice_languages or notices_dir",
        ) from None
    try:
        filled = string.Template(text).substitute(known)
    except KeyError as error:
        name = str(error.args[0])
        why = "needs --start (and a plan, or --window)" if name in _OF_WINDOW else "is not known"
        there = ", ".join(sorted(known))
        raise UsageError(f"{path}: ${{{name}}} {why}; there are: {there}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}; a dollar sign is written $$") from None
    head, _, body = filled.partition("\n")
    found = re.fullmatch(r"Subject:\s*(\S.*?)\s*", head)
    if not found:
        raise UsageError(f"{path}: its first line is not 'Subject: …'")
    return _NO_LINE_ENDS.sub(" ", found[1]), body.lstrip("\n")


def mail(notice: Notice, sender: str, recipient: str, now: dt.datetime) -> bytes:
    """The mail as bytes for sendmail. UsageError for what is no single address: a header that
    came from a setting must not bring another header along."""
    message = EmailMessage(policy=SMTP.clone(max_line_length=78))
    message["From"] = address(sender, "notice_from")
    message["To"] = address(recipient, "notice_to")
    message["Subject"] = notice.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.text, cte="quoted-printable")
    return message.as_bytes(policy=message.policy.clone(linesep="\n"))


def address(text: str, setting: str) -> str:
    """The address if it is exactly one. UsageError."""
    name, found = parseaddr(text)
    plain = re.fullmatch(r"[^\s@,;<>\"()]+@[^\s@,;<>\"()]+", found)
    # Beyond ASCII an address would need SMTPUTF8 all the way: sendmail takes it, nobody gets it.
    plain = plain if found.isascii() else None
    if _NO_LINE_ENDS.search(text) or not plain or found.startswith("-") or text.count("@") != 1:
        raise UsageError(f"setting {setting}: '{_NO_LINE_ENDS.sub('?', text)}' is not one address")
    del name
    return text


def payload(notice: Notice, window: Optional[Window], service: str, from_version: str,
            to_version: str) -> dict[str, Any]:  # fmt: skip
    """What a webhook gets as JSON; times ISO 8601, UTC."""
    found: dict[str, Any] = {
        "kind": notice.kind, "service": service, "subject": notice.subject, "text": notice.text,
        "from_version": from_version, "to_version": to_version,
    }  # fmt: skip
    if window:
        utc = dt.timezone.utc
        found.update(start=window.start.astimezone(utc).isoformat(), end=window.end.isoformat(),
                     window_seconds=window.seconds)  # fmt: skip
    return found


def channels(settings: Settings) -> Sequence[str]:
    """``mail to a@b``, ``webhook host``: where notices go. MatopsError where nowhere."""
    found = [f"mail:{to}" for to in settings.notice_to] if settings.notice_from else []
    found += ["webhook"] if settings.notice_webhook else []
    if not found:
        raise MatopsError(
            "nowhere to send to: neither mail (notice_from, notice_to) nor notice_webhook is set",
            state="Nothing was sent",
            next="set them in config/matops.yaml; notify.preview shows the text to copy",
        )
    return found
