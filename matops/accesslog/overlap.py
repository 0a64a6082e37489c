"""Two files of one log with the same lines: copytruncate, a copy beside its .gz, a restored file.

Two equal lines can both be real. Only a *run* counts: from some line of one file to its very
end, and from the first line of another one on. Files that are equal from their first lines are
one; the longer is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matops.accesslog import stream
from matops.accesslog.logfiles import LogFile

TWO_LINES = 2
"""A run of a single line may be chance."""


def content(file: LogFile, position: int = 0) -> Iterator[bytes]:
    """The uncompressed bytes from ``position`` on, of the file as it was found."""
    if file.kind == "plain":
        with open(file.path, "rb") as plain:
            plain.seek(position)
            left = file.size - position
            while left > 0 and (data := plain.read(min(stream.CHUNK, left))):
                left -= len(data)
                yield data
        return
    for chunk in stream.Stream(file.path, file.kind).chunks():
        if position >= len(chunk):
            position -= len(chunk)
        else:
            yield chunk[position:]
            position = 0


def common(one: LogFile, position: int, other: LogFile) -> tuple[int, int, bool, bool]:
    """How far ``one`` from ``position`` on and ``other`` from its start are the same.

    ``(bytes, lines, one ended, other ended)``: bytes of the whole lines that are the same.
    """
    left, right = content(one, position), content(other)
    a = b = b""
    same = whole = lines = 0
    while True:
        a = a or next(left, b"")
        b = b or next(right, b"")
        if not a or not b:
            return whole, lines, not a, not b
        size = min(len(a), len(b))
        if a[:size] != b[:size]:
            return whole, lines, False, False
        end = a.rfind(b"\n", 0, size) + 1
        whole = same + end if end else whole
        same += size
        lines += a[:size].count(b"\n")
        a, b = a[size:], b[size:]


def run_into(one: LogFile, positions: Sequence[int], other: LogFile) -> bool:
    """Notes in ``other.skip`` how many of its first bytes are the end of ``one``, too.

    ``positions``: where in ``one`` the first line of ``other`` stands. True where all of
    ``other`` is in it.
    """
    for position in positions:
        same, lines, one_ended, other_ended = common(one, position, other)
        if other_ended and lines >= TWO_LINES:
            return True
        if one_ended and lines >= TWO_LINES:
            other.skip = max(other.skip, same)
            return False
    return False


def without_copies(files: Sequence[LogFile]) -> tuple[list[LogFile], list[tuple[str, str]]]:
    """The files but those that are the beginning of another one; and which of which."""
    kept: list[LogFile] = []
    dropped: list[tuple[str, str]] = []
    for file in files:
        for position, other in enumerate(kept):
            if not file.head or file.head != other.head:
                continue
            _, lines, file_ended, other_ended = common(file, 0, other)
            if lines and file_ended:
                dropped.append((file.path, other.path))
            elif lines and other_ended:
                dropped.append((other.path, file.path))
                kept[position] = file
            else:
                continue
            break
        else:
            kept.append(file)
    return kept, dropped
