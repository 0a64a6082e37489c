"""Commands inside a root tree that is not booted (used while building images)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from .proc import build

# Mounts are made in a private mount namespace, which ends with its last process: nothing
# is ever mounted as seen from this machine, not even after kill -9.
_ENTER = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
_MOUNT = """
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/run"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
shift
exec chroot "$root" "$@"
"""


def in_chroot(
    root: Path,
    argv: Sequence[str],
    log: Path,
    binds: Optional[Mapping[Path, str]] = None,
    env: Optional[Mapping[str, str]] = None,
) -> None:
    """Run `argv` in `root`, with the folders of `binds` mounted at their place in it."""
    pairs = [word for outer, inner in (binds or {}).items() for word in (str(outer), inner)]
    script = ["/bin/sh", "-c", _MOUNT, "chroot", str(root), *pairs, "--", *argv]
    build([*_ENTER, *script], log, env, title=" ".join(argv))


def apart(argv: Sequence[str], log: Path, env: Optional[Mapping[str, str]] = None) -> None:
    """Run a command which mounts things of its own, such as debootstrap, in namespaces."""
    build([*_ENTER, "--mount-proc", *argv], log, env, title=" ".join(argv))
