"""Commands on this very machine: for cron, ``inv`` and the agent."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from matops.errors import OutcomeUnknown
from matops.host.shell import Result, Stdin

IN_JOB = "MATOPS_JOB"
"""In the environment of the agent where it runs as a job."""


class LocalLink:
    """Runs commands through ``sh`` here."""

    is_local = True

    def __init__(self, name: str = "") -> None:
        self.name = name or os.uname().nodename

    def execute(
        self, command: str, stdin: Stdin, timeout: float, cap: int, gate: bytes = b""
    ) -> Result:
        """See ``shell.Link``. A command past its time-out is killed with its children."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # In a job everything stays in the job's session: that is how jobs.stop finds it.
            start_new_session=IN_JOB not in os.environ,
        )
        assert process.stdin and process.stdout and process.stderr
        out, err = _Keep(process.stdout, cap), _Keep(process.stderr, cap)
        go = functools.partial(_passed, process, out, err, gate)
        feeder = threading.Thread(target=_feed, args=(process.stdin, stdin, go), daemon=True)
        feeder.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise OutcomeUnknown(
                f"no answer within {timeout:.0f} s", next="look at the machine's load"
            ) from None
        except BaseException:
            _kill(process)
            raise
        out.join(5)
        err.join(5)
        # As a shell reports it: 128 + the signal's number.
        return Result(code if code >= 0 else 128 - code, out.data, err.data, out.full or err.full)

    def close(self) -> None:
        """Nothing to give back."""


class _Keep(threading.Thread):
    """Reads a stream to its end and keeps the first ``cap`` bytes: memory stays flat."""

    def __init__(self, stream: IO[bytes], cap: int) -> None:
        super().__init__(daemon=True)
        self._stream, self._cap = stream, cap
        self._kept, self.full = bytearray(), False
        self.start()

    def run(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), 65536):
                room = max(self._cap - len(self._kept), 0)
                self.full = self.full or len(chunk) > room
                self._kept += chunk[:room]

    @property
    def data(self) -> bytes:
        """What was kept so far."""
        return bytes(self._kept)


def _feed(stream: IO[bytes], data: Stdin, go: Callable[[], bool]) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError), stream:
        for chunk in [data] if isinstance(data, bytes) else data:
            stream.write(chunk)
            stream.flush()
            if not go():
                return


def _passed(process: subprocess.Popen[bytes], out: _Keep, err: _Keep, gate: bytes) -> bool:
    """Waits until the gate has appeared; False where sudo wants the password once more."""
    while gate and gate not in out.data:
        if b"try again" in err.data or process.poll() is not None:
            return False
        time.sleep(0.01)
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    # One by one: coreutils' timeout gives the command a process group of its own, and in a job
    # the session is the job's.
    for pid in [*_descendants(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _descendants(pid: int) -> list[int]:
    """The processes below one, the youngest generation first."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in parents.get(parent, [])]
        found = level + found
    return found
