"""Copying and removing whole root trees without ever following a mount out of them."""

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from .errors import SandboxError
from .proc import run

_EVICT_WAIT = 60.0


def mounts_below(path: Path) -> list[str]:
    """Mount points at or below `path` in our mount namespace, the deepest first."""
    prefix = str(path.resolve())
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def unmount_below(path: Path) -> None:
    """Detach what an interrupted run may have left mounted."""
    for point in mounts_below(path):
        run(["umount", "--lazy", point])


def evict(path: Path) -> None:
    """End the processes chrooted below `path`, and wait: a killed one may still be writing."""
    deadline = time.monotonic() + _EVICT_WAIT
    while users := _chrooted_below(path):
        if time.monotonic() > deadline:
            raise SandboxError(f"processes {users} still work in {path}: not removing it")
        for pid in users:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def remove(path: Path) -> None:
    """Remove a tree; refuse while anything is mounted in it (a bound /dev would go too)."""
    if not path.is_symlink() and not path.exists():
        return
    evict(path)
    unmount_below(path)
    if mounts_below(path):
        raise SandboxError(f"something is still mounted below {path}: not removing it")
    # A copier killed a moment ago may still add a file: once more, then.
    command = ["rm", "-rf", "--one-file-system", "--", str(path)]
    if run(command, check=False, tied=True).returncode:
        time.sleep(2.0)
        run(command, tied=True)


def _chrooted_below(path: Path) -> list[int]:
    prefix = f"{path.resolve()}/"
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or a zombie
            if f"{(entry / 'root').readlink()}/".startswith(prefix):
                pids.append(int(entry.name))
    return pids


def mirror_tree(source: Path, target: Path) -> None:
    """Make `target` exactly `source`, with hard links, ACLs, attributes and numeric owners."""
    target.mkdir(parents=True, exist_ok=True)
    if mounts_below(target):
        raise SandboxError(f"something is mounted below {target}: not writing into it")
    # --modify-window=-1 compares nanoseconds: a file rewritten within its second is seen.
    flags = ["-aHAX", "--numeric-ids", "--delete", "--one-file-system", "--modify-window=-1"]
    run(["rsync", *flags, f"{source}/", f"{target}/"], tied=True)


def copy_tree(source: Path, target: Path) -> None:
    """A fresh copy of a root tree; blocks are shared where the filesystem can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-a", "--reflink=auto", "--one-file-system"]
    run(["cp", *flags, str(source), str(target)], tied=True)


def put(source: Path, target: Path) -> None:
    """Copy a folder of configuration files over a root tree, owned by root."""
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
            to.chmod(0o755 if path.read_bytes()[:2] == b"#!" else 0o644)
