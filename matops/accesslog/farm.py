"""Cutting a log's blocks in several processes: one reads and writes, the others take apart.

Python runs one thread at a time, and a hit in the window costs ten times what decompressing it
does. A helper gets whole blocks and gives back sorted lines; the blocks' order is kept. Helpers
are forks: they begin within a millisecond, share memory, hold no file, write nothing, and end
with the pipe they read from, so a killed reader leaves none behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import signal
from collections.abc import Sequence
from typing import IO, Any, NoReturn, cast

from matops.accesslog.cut import Cutter
from matops.accesslog.logfiles import LogFile
from matops.accesslog.runs import Runs
from matops.accesslog.tally import Tally
from matops.errors import MatopsError

MOST = 3
"""Helpers at most: the host has other work. Each holds about 25 MB."""
WORTH = 32 << 20
"""Bytes of logs below which a helper is not worth its start."""
_PACKED = 8  # times that a compressed log is larger
_PIPE = 1 << 20  # bytes that the kernel holds for us in a pipe: a block at least
_SET_SIZE = 1031  # F_SETPIPE_SZ; the fcntl module has it from Python 3.10 on


def helpers_for(files: Sequence[LogFile]) -> int:
    """How many are worth while here: none for little, none where the processors have work: there
    they only cost (a fifth more processor time, measured at a load of four a processor)."""
    size = sum(file.size * (1 if file.kind == "plain" else _PACKED) for file in files)
    cores = len(os.sched_getaffinity(0))
    idle = round(cores - os.getloadavg()[0])
    return max(min(idle, MOST), 0) if cores > 1 and size > WORTH else 0


class _Box:
    """What a helper's cutter finds in a block, in place of the runs it would write to."""

    def __init__(self) -> None:
        self.found: list[tuple[str, tuple[Any, ...]]] = []

    def put(self, text: bytes, count: int) -> None:
        """As ``Runs.put``."""
        self.found.append(("put", (text, count)))

    def add(self, lines: list[bytes]) -> None:
        """As ``Runs.add``."""
        self.found.append(("add", (lines,)))

    def empty(self) -> list[tuple[str, tuple[Any, ...]]]:
        """What is in it, and nothing is in it."""
        found, self.found = self.found, []
        return found


class _Helper:
    """One process. ``busy``: a block is there whose result was not taken."""

    def __init__(self, cutter: Cutter, others: Sequence[_Helper]) -> None:
        there, ours = os.pipe()
        back, theirs = os.pipe()
        for end in (ours, back):
            _enlarge(end)
        self.busy = False
        self.pid = os.fork()
        if not self.pid:
            for other in others:  # else they would not end when we are gone
                other.forget()
            os.close(ours)
            os.close(back)
            _serve(cutter, there, theirs)
        os.close(there)
        os.close(theirs)
        self._to: IO[bytes] = open(ours, "wb", 0)  # noqa: SIM115 (open as long as we are)
        self._back: IO[bytes] = open(back, "rb", _PIPE)  # noqa: SIM115

    def send(self, item: Any) -> None:
        """A block, or None: the last word. MatopsError where the helper is gone."""
        left = memoryview(pickle.dumps(item, 5))
        try:
            while left:
                left = left[self._to.write(left) :]
        except OSError:
            self._gone()
        self.busy = True

    def take(self) -> Any:
        """What became of it. Raises what went wrong there."""
        try:
            found = pickle.load(self._back)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._gone()
        self.busy = False
        if isinstance(found, BaseException):
            raise found
        return found

    def _gone(self) -> NoReturn:
        raise MatopsError(
            "a process that helps to cut the logs ended (was memory short?)",
            state="No gap file was written", next="type it again",
        ) from None  # fmt: skip

    def forget(self) -> None:
        """Closes what leads there."""
        for end in (self._to, self._back):
            with contextlib.suppress(OSError):
                end.close()

    def end(self) -> None:
        """Ends it, whatever it does."""
        self.forget()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class Farm:
    """Gives the blocks of one log to ``cutter``, or to so many helpers that work as it does.

    To be used as a context; ``finish`` before its end.
    """

    def __init__(self, cutter: Cutter, helpers: int) -> None:
        self._cutter = cutter
        self._helpers: list[_Helper] = []
        self._wanted, self._next = helpers, 0

    def __enter__(self) -> Farm:
        try:
            for _ in range(self._wanted):
                self._helpers.append(_Helper(self._cutter, self._helpers))
        except OSError:  # no process to be had: then without
            self._end()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __len__(self) -> int:
        return len(self._helpers)

    def _end(self) -> None:
        for helper in self._helpers:
            helper.end()
        self._helpers = []

    def block(self, number: int, offset: int, block: bytes) -> None:
        """As ``Cutter.block``; what is found may be written later."""
        if not self._helpers:
            self._cutter.block(number, offset, block)
            return
        helper = self._helpers[self._next]
        self._next = (self._next + 1) % len(self._helpers)
        if helper.busy:
            self._write(helper)
        helper.send((number, offset, block))

    def drain(self) -> None:
        """Until all that was given is written."""
        for place in range(len(self._helpers)):
            helper = self._helpers[(self._next + place) % len(self._helpers)]
            if helper.busy:
                self._write(helper)

    def finish(self) -> None:
        """Drains, and adds what the helpers counted."""
        self.drain()
        for helper in self._helpers:
            helper.send(None)
            self._cutter.tally.merge(helper.take())

    def _write(self, helper: _Helper) -> None:
        sure, asked = helper.take()
        for runs, found in ((self._cutter.sure, sure), (self._cutter.asked, asked)):
            for name, values in found:
                getattr(runs, name)(*values)


def _enlarge(pipe: int) -> None:
    with contextlib.suppress(OSError):  # more than an account may have
        fcntl.fcntl(pipe, _SET_SIZE, _PIPE)


def _serve(cutter: Cutter, there: int, back: int) -> NoReturn:
    """A helper's life."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the reader decides what becomes of us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with open(there, "rb", _PIPE) as source, open(back, "wb", _PIPE) as target:
            _work(cutter, source, target)
        code = 0
    finally:
        os._exit(code)


def _work(cutter: Cutter, source: IO[bytes], target: IO[bytes]) -> None:
    sure, asked = _Box(), _Box()
    cutter.sure, cutter.asked, cutter.tally = cast(Runs, sure), cast(Runs, asked), Tally()
    found: Any
    while True:
        try:
            item = pickle.load(source)
        except EOFError:
            return
        try:
            if item is not None:
                cutter.block(*item)
            found = cutter.tally if item is None else (sure.empty(), asked.empty())
        except MemoryError:
            return
        except Exception as error:  # a defect: for the reader to raise
            found = RuntimeError(f"{type(error).__name__}: {error}")
        pickle.dump(found, target, 5)
        target.flush()
