"""Commands on this very machine: for cron, ``inv`` and the agent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO

from matops.errors import OutcomeUnknown
from matops.host.shell import Result, Stdin


class LocalLink:
    """Runs commands through ``sh`` here."""

    is_local = True

    def __init__(self, name: str = "") -> None:
        self.name = name or os.uname().nodename

    def execute(self, command: str, stdin: Stdin, timeout: float, cap: int) -> Result:
        """See ``shell.Link``. A command past its time-out is killed with its children."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin and process.stdout and process.stderr
        out, err = _Keep(process.stdout, cap), _Keep(process.stderr, cap)
        feeder = threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True)
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


def _feed(stream: IO[bytes], data: Stdin) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError), stream:
        for chunk in [data] if isinstance(data, bytes) else data:
            stream.write(chunk)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Its whole session: coreutils' timeout gives the command a process group of its own, which
    # a signal to the group of the shell would not reach.
    subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False, capture_output=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
