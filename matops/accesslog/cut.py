"""Cutting the tracking hits of a window out of one log: the inner loop.

Skipping runs at the speed of decompression. What the quick pattern does not match goes the
whole way, if it names the tracker at all.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from matops.accesslog import bulk, gapfile, lineform, stamps, verdict
from matops.accesslog.gapfile import EDGE, FORWARDED, TOKEN
from matops.accesslog.holes import Coverage
from matops.accesslog.lineform import Fields, Form
from matops.accesslog.logfiles import stamp_of
from matops.accesslog.lots import VALUES, Columns, Lot
from matops.accesslog.runs import Runs
from matops.accesslog.tally import Tally
from matops.accesslog.verdict import KEEP, RECORDED, Window

TRACKERS = ("matomo.php", "piwik.php", "js/", "js/index.php", "js/tracker.php")
"""Ends of the paths that record hits; ``tracker_paths`` adds to them."""
_STATUSES = [b"%d" % status for status in range(200, 600)]
CLAIM = b"R"
"""A flag within the runs only: by its status it was recorded, and its row is its own."""


def tracker_patterns(extra: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """Patterns without groups: of the whole path of a tracking request (before its ``?``), and
    of its end, to be searched for in any line.

    ``extra``: more ends of paths; one that begins with a slash is the whole path.
    """
    ends = [re.escape(e.encode()) for e in (*TRACKERS, *extra) if e[:1] != "/"]
    whole = [re.escape(e.encode()) for e in extra if e[:1] == "/"]
    over = rb"(?![\w./%~-])"
    # The path ends at '?': without that bound, long queries are gone through again and again.
    end = b"/(?:%b)" % b"|".join(ends)
    path = b"|".join([rb"[^ ?\"\\\x00-\x1f\x7f-\xff]*" + end, *whole])
    return b"(?:%b)%b" % (path, over), b"(?:%b)%b" % (b"|".join([end, *whole]), over)


@dataclass(frozen=True)
class Rules:
    """What counts on one server. ``elsewhere``: virtual hosts of other sites. ``forwarded``:
    'last' or 'first' address of a forwarded-for field is the visitor's, '' = not asked for."""

    window: Window
    server: str
    tracker: tuple[bytes, bytes]
    elsewhere: frozenset[bytes] = frozenset()
    forwarded: str = ""


class Cutter:
    """Cuts the files of one log, in order, into two sorts of runs: hits that were not recorded
    (``sure``), and hits of which only the database knows (``asked``), among them those near an
    edge that the status says were recorded: they must not stand in for equal ones."""

    def __init__(self, rules: Rules, forms: Sequence[Form], sure: Runs, asked: Runs) -> None:
        self.rules, self.forms = rules, forms
        self.sure, self.asked = sure, asked
        self.tally = Tally()
        window = rules.window
        self.coverage = Coverage(window.start, window.end)
        self._low, self._high = window.low, window.high
        self._inner, self._off = window.inner, window.off_span
        self._server = rules.server.encode()
        self._path = re.compile(rules.tracker[0]).fullmatch
        self._search = re.compile(rules.tracker[1]).search
        self._plain = frozenset(
            status for status in _STATUSES
            if not verdict.not_a_hit(b"GET", b"idsite=", status, window.statuses)
            and verdict.by_status(b"GET", b"idsite=", status, inner=True) is KEEP
        )  # fmt: skip
        which = rules.forwarded
        address = functools.lru_cache(10_000)(lambda value: forwarded_ip(value, which))
        self._quick = [
            bulk.Quick(form, self._plain, address if which else None)
            for form in forms if form.bulk
        ]  # fmt: skip
        self.compare = True
        """Whether to remember requests, to tell whether another log has the same."""
        self._out: list[bytes] = []
        self._ask: list[bytes] = []
        self._number = -1
        self._prefixes = bulk.Prefixes(b"", b"", (b"", b""), b"")
        self._seen: list[tuple[bytes, ...]] = []
        self._lots: list[Lot] = []

    def stamp(self, line: bytes) -> Optional[bytes]:
        """The line's stamp, by the log's formats."""
        return stamp_of(line, self.forms)

    def block(self, number: int, offset: int, block: bytes) -> None:
        """Whole lines of the log with that number, which begin at ``offset``."""
        if number != self._number:
            self._number = number
            window = (self._low, self._high, self._inner)
            self._prefixes = bulk.Prefixes(*window, b"\t%b\t%05d\t" % (self._server, number))
        clean, unclean = bulk.parted(offset, block)
        for at, line in unclean:
            if self._search(line):
                self._whole(line, at)
        self._prefixes.tidy()
        for quick in self._quick:
            if clean.lines:
                clean = self._quickly(quick, clean)
        for at, line in zip(clean.starts, clean.lines):
            if self._search(line):
                self._other(line.rstrip(b"\n"), at)
        self._flush()

    def _quickly(self, quick: bulk.Quick, given: bulk.Lines) -> bulk.Lines:
        """As ``_hit``, for the lines that are most: away from the edges, by status not recorded,
        nothing to be escaped or hidden.

        Gives the lines that it does not understand and that name the tracker.
        """
        lot, odd, unread = quick.choose(given, self._prefixes, self.rules.elsewhere, self._search)
        if lot:
            self._lots.append(lot)
        for at, row in odd:
            self._row(at, quick.fields(row), given)
        return unread

    def _row(self, at: int, fields: Fields, given: bulk.Lines) -> None:
        """A clean hit near an edge, or with something to be hidden or left out."""
        key = stamps.key(fields.stamp)
        if key is None:
            self._whole(given.at(at), at)
        elif self._low <= key < self._high:
            ip, flag = self._address(fields)
            self._hit(key, at, fields._replace(ip=ip), flag)

    def _other(self, line: bytes, offset: int) -> None:
        """A clean line that names the tracker, and that the strict way does not fit."""
        for form in self.forms:
            found = form.quick(line) if form.quick else None
            if found is not None and not (self.rules.forwarded and form.has_forwarded):
                fields = found.group(*form.order)
                key = stamps.key(fields[0])
                if key is not None and self._low <= key < self._high:
                    self._hit(key, offset, fields)
                return
        self._whole(line, offset)

    def _flush(self) -> None:
        if self._lots:
            self._put(Columns(self._lots))
        elif self._out:
            self.sure.add(self._out)
        self._lots, self._out = [], []
        if self._ask:
            self.asked.add(self._ask)
            self._ask = []
        if self._seen:
            self.tally.columns(*zip(*self._seen), compare=self.compare)
            self._seen = []

    def _put(self, found: Columns) -> None:
        """Plain hits, and the others of the same block between them."""
        values = dict(zip(VALUES, found.values))
        self.tally.columns(values["status"], values["host"], values["ip"], values["query"],
                           compare=self.compare)  # fmt: skip
        self.sure.put(found.text(sorted(self._out)), len(found.keys) + len(self._out))

    def _whole(self, line: bytes, offset: int) -> None:
        """A line that names the tracker somewhere: in its request, or in a referrer."""
        line = line.strip(b"\0\r\n")
        fields = lineform.read(self.forms, line)
        key = stamps.key(fields.stamp) if fields else None
        if fields and key:
            if self._low <= key < self._high and self._path(fields.path):
                self._clean(key, offset, fields)
            return
        key = self.stamp(line)
        if key is None or self._low <= key < self._high:
            self.tally.unread_lines += 1
            self.tally.reasons[verdict.UNREAD] += 1

    def loose(self, line: bytes) -> None:
        """A last line without its end: half a hit, if it is one."""
        if self._search(line):
            key = self.stamp(line.lstrip(b"\0"))
            if key is not None and self._low <= key < self._high:
                self.tally.unread_lines += 1
                self.tally.reasons[verdict.UNREAD] += 1

    def _address(self, fields: Fields) -> tuple[bytes, bytes]:
        """The visitor's, and the flag that says where it is from."""
        if not self.rules.forwarded or fields.forwarded in (b"", b"-"):
            return fields.ip, b""
        found = forwarded_ip(fields.forwarded, self.rules.forwarded)
        return found or fields.ip, FORWARDED.encode()

    def _clean(self, key: bytes, offset: int, fields: Fields) -> None:
        """Escapes what is not printable, then as any other hit."""
        ip, flag = self._address(fields)
        escape = gapfile.escape
        self._hit(key, offset, (
            fields.stamp, escape(fields.method), escape(fields.path),
            gapfile.escape_query(fields.query), escape(ip), b"", escape(fields.agent),
            escape(fields.referer), escape(fields.status), escape(fields.size),
            escape(fields.host),
        ), flag)  # fmt: skip

    def _hit(self, key: bytes, offset: int, fields: Sequence[bytes], flags: bytes = b"") -> None:
        _, method, path, query, ip, _, agent, referer, status, size, host = fields
        tally = self.tally
        ip = b"" if ip == b"-" else ip
        if host and host in self.rules.elsewhere:
            tally.reasons[verdict.OTHER_HOST] += 1
            return
        reason = verdict.not_a_hit(method, query, status, self.rules.window.statuses)
        if reason:
            if reason is verdict.BODY and not self._off[0] <= key < self._off[1]:
                reason = verdict.BODY_OUTSIDE
            tally.reasons[reason] += 1
            return
        inner = self._inner[0] <= key < self._inner[1]
        answer = verdict.by_status(method, query, status, inner=inner)
        self._seen.append((status, host, ip, query))
        if b"token_auth=" in query:
            query = self._without_token(query)
            flags += TOKEN.encode()
        if not inner:
            flags += EDGE.encode()
        asked = answer is not KEEP
        if answer is RECORDED:
            flags += CLAIM
        line = b"\t".join((
            gapfile.sort_key(key, self._server, self._number, offset), flags, method, path,
            query, b"" if ip == b"-" else ip, b"" if agent == b"-" else agent,
            b"" if referer == b"-" else referer, b"" if status == b"-" else status,
            b"" if size == b"-" else size, b"" if host == b"-" else host,
        )) + b"\n"  # fmt: skip
        if asked:
            self._ask.append(line)
        else:
            self._out.append(line)

    def _without_token(self, query: bytes) -> bytes:
        def hide(found: re.Match[bytes]) -> bytes:
            token = found[2].decode("ascii", "replace")
            name = "~" + hashlib.sha256(token.encode()).hexdigest()[:16]
            if len(self.tally.tokens) < 10_000:
                self.tally.tokens[name] = token
            return found[1] + name.encode()

        return re.sub(rb"((?:^|&)token_auth=)([^&]+)", hide, query)


def forwarded_ip(value: bytes, which: str) -> bytes:
    """The address in a forwarded-for field: 'first' or 'last' of the list. b'' if none."""
    parts = [part.strip() for part in value.split(b",") if part.strip()]
    if not parts:
        return b""
    part = parts[0 if which == "first" else -1]
    named = re.search(rb'(?i)for="?\[?([0-9a-f.:]+)', part)
    part = named[1] if named else part.strip(b'[]"')
    return re.sub(rb"^(\d+\.\d+\.\d+\.\d+):\d+$", rb"\1", part)
