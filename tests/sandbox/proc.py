"""Running commands: a failure becomes one sentence, and nothing outlives a killed builder."""

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from .errors import SandboxError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

# Everything runs with this and nothing else: the caller's locale, virtual environment and
# language settings must not change what gets built.
CLEAN_ENV: Mapping[str, str] = {
    "PATH": PATH,
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
}


def _die_with_parent() -> None:
    # A builder killed with -9 cannot clean up: the kernel does it, through `unshare
    # --kill-child`, down to the last process of the chroot (and so the last mount).
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def clean_env(extra: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """The environment of every command, plus `extra`."""
    return {**CLEAN_ENV, **(extra or {})}


def build(
    argv: Sequence[str],
    log: Path,
    env: Optional[Mapping[str, str]] = None,
    cwd: Optional[Path] = None,
    title: str = "",
) -> None:
    """Run one step of a build, its output appended to `log`; it dies when we die."""
    title = title or " ".join(argv)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {title}\n".encode())
        out.flush()
        start = out.tell()
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=clean_env(env),
            cwd=cwd,
            preexec_fn=_die_with_parent,
            check=False,
        )
    if done.returncode:
        raise SandboxError(f"{_named(title.split())} failed: {_why(log, start)} (see {log})")


def run(
    argv: Sequence[str],
    check: bool = True,
    stdin: Optional[bytes] = None,
    title: str = "",
    tied: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run a command and give its output back as text; a `tied` one dies when we die."""
    done = subprocess.run(
        list(argv),
        input=stdin if stdin is not None else b"",
        capture_output=True,
        env=clean_env(),
        preexec_fn=_die_with_parent if tied else None,
        check=False,
    )
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    if check and done.returncode:
        why = (err.strip() or out.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise SandboxError(f"{_named(title.split() or argv)} failed: {why}")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def _named(words: Sequence[str]) -> str:
    return " ".join([Path(words[0]).name, *words[1:3]])


def _why(log: Path, start: int) -> str:
    """The most telling line of what a command wrote to the log from `start` on."""
    with log.open("rb") as text:
        text.seek(start)
        lines = text.read().decode(errors="replace").strip().splitlines()
    # The first complaint of apt is the cause, what follows is what it did about it.
    apt = [line for line in lines if line.startswith("E:")][:1]
    telling = [line for line in lines if line.startswith(("ERROR", "Error"))]
    return (apt or telling or lines or ["no output"])[-1].strip()
