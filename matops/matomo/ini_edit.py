"""Changes single keys in the text of a ``config.ini.php`` and leaves every other byte alone. Pure.

Matomo's own saving (``config:set``, the UI) writes the whole file anew: comments go, lines that
equal a default go, sections change places. An operator's file must survive an outage as it was.

How PHP reads such a text (``parse_ini_string``; tried on PHP 8.4), which decides what counts:

* a section that is there twice counts only from its *last* header on: the earlier one is gone;
* of a key that is there twice the last line counts; ``key[] =`` adds to a list, but begins anew
  after a plain ``key =``;
* a value in quotes may go on for lines, and may hold ``;``.

Matomo then decodes HTML entities (core/Config/IniFileChain), twice over, and makes numbers of
texts that look like one: ``"0"`` and ``0`` are the same to it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional, Union

Value = Union[str, list[str]]
"""A value as Matomo sees it; a list for ``key[]`` lines."""

_SECTION = re.compile(r"[ \t]*\[([^\]\r\n]*)\][ \t]*")
_KEY = re.compile(
    r"(?P<head>[ \t]*(?P<key>[^=\r\n;&|^$~(){}!\"\[\]\0]+?)[ \t]*"
    r"(?P<sub>\[[^\]\r\n]*\])?[ \t]*=[ \t]*)"
)
_END = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|\w+);")
_WORDS = {"true": "1", "on": "1", "yes": "1", "false": "", "off": "", "no": "", "none": "",
          "null": ""}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A stretch of the file: a section's header, one setting, or anything else (``key`` '').

    ``head`` + ``raw`` + ``tail`` is its text; ``raw`` the value as written, quotes included.
    """

    section: str
    key: str = ""
    sub: Optional[str] = None
    """``[]`` or ``[name]`` behind the key; None for a plain one."""
    head: str = ""
    raw: str = ""
    tail: str = ""
    header: bool = False

    @property
    def text(self) -> str:
        """All of it, line end included."""
        return self.head + self.raw + self.tail

    @property
    def blank(self) -> bool:
        """True for an empty line."""
        return not self.header and not self.key and not self.text.strip()


@dataclass
class Ini:
    """The text of one file, to look values up in and to change."""

    pieces: list[Piece] = field(default_factory=list)
    ended: bool = True
    """False where the last line had no line end; it then has none afterwards, too."""

    @property
    def text(self) -> str:
        """The whole file."""
        return "".join(piece.text for piece in self.pieces)

    def raw(self, section: str, key: str) -> Optional[Value]:
        """What counts of the lines of ``key``, as written (quotes included); None if absent."""
        found: Optional[Value] = None
        for place in self._places(section, key):
            piece = self.pieces[place]
            if piece.sub is None:
                found = piece.raw
            else:
                found = [*found, piece.raw] if isinstance(found, list) else [piece.raw]
        return found

    def get(self, section: str, key: str) -> Optional[Value]:
        """The value as Matomo sees it; None if absent."""
        raw = self.raw(section, key)
        return [decoded(each) for each in raw] if isinstance(raw, list) else _decoded(raw)

    def put(self, section: str, key: str, raw: Optional[Value]) -> None:
        """Sets ``key`` to ``raw`` (as it shall be written), or removes it (None)."""
        if raw == self.raw(section, key):
            return
        places = self._places(section, key)
        if not raw and not isinstance(raw, str):
            self._remove(section, places)
        elif isinstance(raw, str) and places and all(self.pieces[p].sub is None for p in places):
            self.pieces[places[-1]] = replace(self.pieces[places[-1]], raw=raw)
        else:
            at = places[0] if places else self._room(section)
            for place in reversed(places):
                del self.pieces[place]
            self._insert(at, section, key, raw)
        self._finish()

    def _block(self, section: str) -> Optional[range]:
        """The pieces of the section that counts, its header first."""
        begins = [i for i, p in enumerate(self.pieces) if p.header and p.section == section]
        if not begins:
            return None
        after = (i for i in range(begins[-1] + 1, len(self.pieces)) if self.pieces[i].header)
        return range(begins[-1], next(after, len(self.pieces)))

    def _places(self, section: str, key: str) -> list[int]:
        return [i for i in self._block(section) or () if self.pieces[i].key == key]

    def _remove(self, section: str, places: list[int]) -> None:
        for place in reversed(places):
            del self.pieces[place]
        block = self._block(section)
        if not places or block is None or ";" in self.pieces[block[0]].text:
            return
        if all(self.pieces[i].blank for i in block[1:]):
            # The way back of _room: a section that it had to add leaves no trace.
            at_end, spaced = block[-1] == len(self.pieces) - 1, len(block) > 1
            del self.pieces[block[0] : block[-1] + 1]
            if at_end and not spaced and self.pieces and self.pieces[-1].blank:
                del self.pieces[-1]

    def _finish(self) -> None:
        """The end of the file's last line as it was found."""
        if self.pieces and not self.ended:
            piece = self.pieces[-1]
            head, tail = piece.head, piece.tail.rstrip("\r\n")
            self.pieces[-1] = replace(piece, head=head if tail else head.rstrip("\r\n"), tail=tail)

    def _room(self, section: str) -> int:
        """Where a new line of ``section`` goes; adds the section where it is not there."""
        block = self._block(section)
        if block is not None:
            lines = [i for i in block if self.pieces[i].header or self.pieces[i].key]
            self._end_line(lines[-1])
            return lines[-1] + 1
        end = self._line_end()
        spaced = bool(self.pieces) and self.pieces[-1].blank
        if self.pieces:
            self._end_line(len(self.pieces) - 1)
            if not spaced:
                self.pieces.append(Piece(self.pieces[-1].section, head=end))
        self.pieces.append(Piece(section, head=f"[{section}]", tail=end, header=True))
        if spaced:  # as Matomo writes: an empty line after each section
            self.pieces.append(Piece(section, head=end))
            return len(self.pieces) - 1
        return len(self.pieces)

    def _end_line(self, place: int) -> None:
        piece = self.pieces[place]
        if not piece.text.endswith(("\n", "\r")):
            self.pieces[place] = replace(piece, tail=piece.tail + self._line_end())

    def _line_end(self) -> str:
        found = re.search(r"\r\n|\n|\r", self.text)
        return found[0] if found else "\n"

    def _insert(self, at: int, section: str, key: str, raw: Value) -> None:
        end = self._line_end()
        sub, raws = ("[]", raw) if isinstance(raw, list) else (None, [raw])
        self.pieces[at:at] = [
            Piece(section, key, sub, f"{key}{sub or ''} = ", each, end) for each in raws
        ]


def read(text: str) -> Ini:
    """Understands the text; whatever is no section and no setting is kept as it stands."""
    return Ini(list(_pieces(text)), not text or text.endswith(("\n", "\r")))


def _pieces(text: str) -> Iterator[Piece]:
    place, section = 0, ""
    while place < len(text):
        if header := _SECTION.match(text, place):
            section = header[1].strip().strip("\"'")
            rest = _END.match(text, header.end())
            assert rest is not None
            if _KEY.match(text, header.end()):  # PHP takes `[A] x = 1` on one line
                yield Piece(section, head=header[0], header=True)
                place = header.end()
            else:
                yield Piece(section, head=header[0], tail=rest[0], header=True)
                place = rest.end()
        elif found := _KEY.match(text, place):
            until = _value_end(text, found.end())
            value = text[found.end() : until].rstrip(" \t")
            until = found.end() + len(value)
            rest = _END.match(text, until)
            assert rest is not None
            yield Piece(section, found["key"], found["sub"], found["head"], value, rest[0])
            place = rest.end()
        else:
            rest = _END.match(text, place)
            assert rest is not None
            yield Piece(section, head=rest[0])
            place = rest.end()


def _value_end(text: str, place: int) -> int:
    while place < len(text) and text[place] not in ";\r\n":
        if text[place] in "\"'":
            quote = text[place]
            inner = r"(?:[^\\\"]|\\.)*\"" if quote == '"' else r"[^']*'"
            closed = re.compile(inner, re.DOTALL).match(text, place + 1)
            place = closed.end() if closed else place + 1
        else:
            place += 1
    return place


def _decoded(raw: Optional[str]) -> Optional[str]:
    return None if raw is None else decoded(raw)


def decoded(raw: str) -> str:
    """The text of a value as written: quotes, PHP's words for true and false, entities."""
    if len(raw) > 1 and raw[0] == raw[-1] == '"':
        text = re.sub(r"\\([\\\"'])", r"\1", raw[1:-1])
    elif len(raw) > 1 and raw[0] == raw[-1] == "'":
        text = raw[1:-1]
    else:
        text = _WORDS.get(raw.lower(), raw)
    for _ in range(2):  # reload() decodes what it has decoded already
        text = _ENTITY.sub(_entity, text)
    return text


def _entity(found: re.Match[str]) -> str:
    # html_entity_decode with ENT_COMPAT leaves single quotes alone.
    text = html.unescape(found[0])
    return found[0] if text == "'" else text


def encoded(value: str, like: Optional[str] = None) -> str:
    """``value`` as it is written: a number bare, else in quotes, with entities where needed.

    ``like``: the value that it replaces; one in quotes is replaced by one in quotes.
    Raises ValueError for a text that no INI file can hold.
    """
    if "\0" in value:
        raise ValueError("a NUL byte")
    if re.fullmatch(r"-?\d+", value) and not (like or "").startswith('"'):
        return value
    # What would still look like an entity after one decoding is encoded for two.
    text = re.sub(r"&(#?\w+;)?", lambda m: f"&amp;amp;{m[1]}" if m[1] else "&amp;", value)
    for char, entity in (('"', "&quot;"), ("<", "&lt;"), (">", "&gt;"), ("$", "&#36;"),
                         ("\\", "&#92;"), ("\n", "&#10;"), ("\r", "&#13;")):  # fmt: skip
        text = text.replace(char, entity)
    return f'"{text}"'


def is_on(value: Optional[Value]) -> bool:
    """PHP's ``value != 0`` for a setting of 0 and 1. A list is never meant, and counts as on."""
    if isinstance(value, list):
        return True
    return value is not None and value.strip() not in ("", "0") and not _is_zero(value)


def _is_zero(value: str) -> bool:
    try:
        return float(value) == 0
    except ValueError:
        return False


def is_one(value: Optional[Value]) -> bool:
    """PHP's ``value == 1``, as ``maintenance_mode`` is looked at."""
    try:
        return isinstance(value, str) and float(value) == 1
    except ValueError:
        return False


def apply(text: str, edits: Sequence[tuple[str, str, Optional[Value], bool]]) -> str:
    """The text with all edits: ``(section, key, value, as written already)``. ValueError."""
    found = read(text)
    for section, key, value, written in edits:
        now = found.raw(section, key)
        if value is None or value == [] or written:
            found.put(section, key, value or None)
        elif value != found.get(section, key):
            like = now if isinstance(now, str) else None
            lines = [encoded(v) for v in value] if isinstance(value, list) else None
            found.put(section, key, lines or encoded(str(value), like))
    return found.text
