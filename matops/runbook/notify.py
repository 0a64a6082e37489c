"""Sends a notice, once: by the host's sendmail, and to a webhook; each channel is remembered.

What is being sent is written down before it goes out, and that it went after: a run that was
killed in between leaves "perhaps sent", and is not repeated without ``again``. The record lives
in the installation's database, so that two operators do not both send.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import stat
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused, UsageError
from matops.matomo.site import Site
from matops.runbook import notices
from matops.runbook.notices import Notice, Window
from matops.runbook.step import Say
from matops.settings import Settings
from matops.units import show_epoch, utc_now

TIMEOUT = 20.0  # seconds for each answer of a webhook, and for sendmail
_ENOUGH = 4096  # bytes of an answer that are read
PERHAPS, SENT = "perhaps sent", "sent"


@dataclass
class Sender:
    """Sends one notice of one upgrade."""

    site: Site
    notice: Notice
    window: Optional[Window]
    from_version: str
    to_version: str
    say: Say
    _seen: dict[str, Any] = field(default_factory=dict)
    """What had been sent when ``pending`` looked: what comes to it later is another operator's."""

    @property
    def settings(self) -> Settings:
        """The site's settings."""
        return self.site.settings

    def pending(self, again: bool) -> list[str]:
        """The channels that it has still to go to. Refused where it has gone out already.

        UsageError: it would go out without a contact.
        """
        wanted = list(notices.channels(self.settings))
        if notices.NO_CONTACT in self.notice.text:
            raise UsageError(
                "setting notice_contact is missing: the notice names it",
                state="Nothing was sent",
                next="set it in config/matops.yaml",
            )
        self._seen = self._record()
        done = {name: each for name, each in self._seen.items() if name in wanted}
        if again or not done:
            return wanted
        rest = [name for name in wanted if name not in done]
        unsure = [name for name, each in done.items() if each["state"] == PERHAPS]
        if rest and not unsure:
            return rest
        first = done[unsure[0]] if unsure else next(iter(done.values()))
        what = "may have gone out" if unsure else "has gone out"
        raise Refused(
            f"the {self.notice.kind} of the upgrade to {self.to_version} {what} already "
            f"({show_epoch(first['when'])}: {', '.join(unsure or done)})",
            host=self.site.host.name,
            state="Nothing was sent",
            next="add --again if it is to go out once more",
        )

    def send(self, channels: list[str]) -> list[str]:
        """Sends to each; what went out, a line each. The first that fails ends it: run again."""
        went: list[str] = []
        for name in channels:
            record = self._record()
            if record.get(name) != self._seen.get(name):
                raise self._overtaken(name, "; ".join(went))
            record[name] = {"state": PERHAPS, "when": utc_now().timestamp()}
            self._write(record)
            try:
                line = self._mail(name[5:]) if name.startswith("mail:") else self._post()
            except OutcomeUnknown:
                raise
            except MatopsError:
                del record[name]  # it surely did not go out
                self._write(record)
                raise
            record[name] = {"state": SENT, "when": utc_now().timestamp()}
            self._write(record)
            self.say(line)
            went.append(line)
        return went

    def _overtaken(self, name: str, went: str) -> Refused:
        return Refused(
            f"somebody else has begun to send the {self.notice.kind} to {name} meanwhile",
            host=self.site.host.name,
            state=f"Sent by this run: {went or 'nothing'}",
            next="run the same again: it shows what has gone out",
        )

    # --- what was sent -----------------------------------------------------------------------

    @property
    def _step(self) -> str:
        return f"notify.{self.notice.kind}"

    def _record(self) -> dict[str, Any]:
        entry = self.site.ask("matomo.lock:records").get(self._step, {})
        same = entry.get("to_version") == self.to_version
        found = entry.get("channels") if same else None
        return dict(found) if isinstance(found, dict) else {}

    def _write(self, channels: dict[str, Any]) -> None:
        sent = sum(each["state"] == SENT for each in channels.values())
        self.site.ask("matomo.lock:record", step=self._step, entry={
            "host": self.site.host.name, "to_version": self.to_version, "channels": channels,
            "evidence": f"{self.notice.kind} of {self.to_version}: {sent} of {len(channels)} sent",
        })  # fmt: skip

    # --- the channels ------------------------------------------------------------------------

    def _mail(self, recipient: str) -> str:
        """Hands it to the host's sendmail, which queues it: accepted is not delivered."""
        data = notices.mail(self.notice, self.settings.notice_from, recipient, utc_now())
        # -t reads the recipient from the headers: no address stands on a command line.
        result = self.site.host.run(
            '[ -x "$1" ] || exit 96; exec "$1" -t -oi', self.settings.notice_sendmail,
            stdin=data, timeout=TIMEOUT, check=False, what="sendmail",
        )  # fmt: skip
        if result.code == 96:
            raise MatopsError(
                f"there is no {self.settings.notice_sendmail}",
                host=self.site.host.name,
                state="Nothing was sent",
                next="install one (postfix, msmtp-mta), or set notice_sendmail",
            )
        if result.code != 0:
            words = " ".join((result.err or result.out).decode(errors="replace").split())[:200]
            raise MatopsError(
                f"sendmail did not take the mail to {recipient} (exit code {result.code}): {words}",
                host=self.site.host.name,
                next="see its log; then again: what went out is not repeated",
            )
        return f"mail to {recipient}: taken by {self.settings.notice_sendmail} (see its log)"

    def _post(self) -> str:
        body = notices.payload(self.notice, self.window, self.settings.notice_service,
                               self.from_version, self.to_version)  # fmt: skip
        status = post(self.settings.notice_webhook, body, header(self.settings))
        where = urllib.parse.urlsplit(self.settings.notice_webhook).hostname
        return f"webhook {where}: {status}"


def header(settings: Settings) -> dict[str, str]:
    """The header with the secret; {} where none is set. UsageError: file not there, or not ours
    alone. The secret is in no message."""
    if not settings.notice_webhook_secret:
        return {}
    path = Path(settings.notice_webhook_secret).expanduser()
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"notice_webhook_secret: {path} may be read by others",
                             next=f"chmod 600 {path}")  # fmt: skip
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(
            f"notice_webhook_secret: {path} cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable() or not secret.isascii() or " " in secret:
        raise UsageError(f"notice_webhook_secret: {path} does not hold one line with a token")
    name, colon, before = settings.notice_webhook_header.partition(":")
    if not colon or not name.replace("-", "").isalnum() or not before.isprintable():
        raise UsageError("notice_webhook_header: write it like 'Authorization: Bearer'")
    return {name: f"{before.strip()} {secret}".strip()}


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> str:
    """POSTs JSON; the answer's status in words. No redirect is followed: it would carry the secret
    elsewhere. UsageError (not https), MatopsError (it said no, or was not reached),
    OutcomeUnknown (no answer after it was sent)."""
    try:
        parts = urllib.parse.urlsplit(url)
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise UsageError("setting notice_webhook: is no address") from None
    if not (parts.path + parts.query).isascii() or re.search(r"\s", url):
        raise UsageError("setting notice_webhook: write blanks and umlauts like %20")
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise UsageError("setting notice_webhook: wants an https:// address")
    if parts.username or parts.password:
        raise UsageError("setting notice_webhook: no password in it; use notice_webhook_secret")
    where = f"webhook {parts.hostname}"
    connection = _connection(parts)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    data = json.dumps(body).encode()
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        raise MatopsError(f"{where} cannot be reached: {error}", state="Nothing was sent",
                          next="check notice_webhook; then again") from None  # fmt: skip
    try:
        connection.request("POST", path, data, {"Content-Type": "application/json",
                                                "User-Agent": "matops", **headers})  # fmt: skip
        answer = connection.getresponse()
        answer.read(_ENOUGH)
    except (OSError, http.client.HTTPException) as error:
        raise OutcomeUnknown(
            f"{where} did not answer: {type(error).__name__}",
            state="The notice may have arrived",
            next="ask there; add --again to send it once more",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            connection.close()
    if not 200 <= answer.status < 300:
        hint = "it redirects: give its final address" if 300 <= answer.status < 400 else (
            "check address and secret; then again")  # fmt: skip
        raise MatopsError(f"{where} answered {answer.status} {answer.reason}",
                          state="It did not take the notice", next=hint)  # fmt: skip
    return f"{answer.status} {answer.reason}"


def _connection(parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    try:
        port = parts.port
    except ValueError:
        raise UsageError("setting notice_webhook: its port is no number") from None
    assert parts.hostname
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname, port, timeout=TIMEOUT,
                                           context=ssl.create_default_context())  # fmt: skip
    return http.client.HTTPConnection(parts.hostname, port, timeout=TIMEOUT)
