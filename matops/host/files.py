"""Reading and writing files on a host: whole, atomic, verified by reading back."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

from matops.errors import MatopsError, Refused
from matops.host.shell import CommandFailed, Host

_CHUNK = 256 * 1024


class NotThere(MatopsError):
    """The file does not exist on the host."""


def read(host: Host, path: str, *, user: Optional[str] = None, limit: int = 1 << 20) -> bytes:
    """The whole file. Raises NotThere, Refused (longer than ``limit`` bytes), CommandFailed."""
    script = 'if [ ! -e "$1" ]; then exit 44; fi; exec head -c "$2" -- "$1"'
    result = host.run(
        script, path, str(limit + 1), user=user, cap=limit + 1, check=False, what=f"read {path}"
    )
    if result.code == 44:
        raise NotThere(f"{path} does not exist", host=host.name)
    if result.code != 0:
        raise CommandFailed(f"cannot read {path}", result).on(host.name)
    if len(result.out) > limit:
        raise Refused(f"{path} is longer than {limit} bytes", host=host.name)
    return result.out


# The new content goes beside the target and takes its place in one rename, so that no reader
# ever sees half a file; owner and mode are those of the file it replaces.
_WRITE = """
set -e
path=$1 mode=$2 owner=$3 size=$4
[ -d "$(dirname -- "$path")" ] || { echo "no folder $(dirname -- "$path")" >&2; exit 1; }
temp=$(mktemp -- "$(dirname -- "$path")/.$(basename -- "$path").XXXXXX")
trap 'rm -f -- "$temp"' EXIT
cat > "$temp"
# A link that breaks looks like the end of stdin: half a file must not take the place of a whole.
[ "$(wc -c < "$temp")" -eq "$size" ] || { echo "only a part of it arrived" >&2; exit 1; }
if [ -e "$path" ]; then
    chown --reference="$path" -- "$temp"; chmod --reference="$path" -- "$temp"
fi
[ -z "$mode" ] || chmod -- "$mode" "$temp"
[ -z "$owner" ] || chown -- "$owner" "$temp"
sync -- "$temp"
mv -T -- "$temp" "$path"
trap - EXIT
sha256sum < "$path"
"""


def write(
    host: Host,
    path: str,
    data: bytes,
    *,
    user: Optional[str] = None,
    mode: str = "",
    owner: str = "",
) -> None:
    """Replaces or creates ``path`` atomically; compares what is there afterwards.

    ``mode`` and ``owner`` ('' = those of the file replaced). Raises CommandFailed, and
    MatopsError where another content than ours is found afterwards.
    """
    script = "umask 077\n" + _WRITE
    result = host.run(
        script, path, mode, owner, str(len(data)), user=user, stdin=data, what=f"write {path}"
    )
    _compare(host, path, result.text, hashlib.sha256(data).hexdigest())


def upload(
    host: Host,
    source: Path,
    path: str,
    *,
    user: Optional[str] = None,
    mode: str = "0600",
    timeout: float = 3600,
    progress: Callable[[int], object] = lambda size: None,
) -> str:
    """Streams a local file to ``path`` (atomic, verified); its sha256. Memory stays flat."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                progress(len(chunk))
                yield chunk

    result = host.run(
        "umask 077\n" + _WRITE, path, mode, "", str(source.stat().st_size),
        user=user, stdin=pieces(), timeout=timeout, what=f"upload to {path}",
    )  # fmt: skip
    _compare(host, path, result.text, digest.hexdigest())
    return digest.hexdigest()


def _compare(host: Host, path: str, found: str, wanted: str) -> None:
    if found.split()[:1] != [wanted]:
        raise MatopsError(
            f"{path} does not hold what was written to it",
            host=host.name,
            state=f"It may be damaged: sha256 {found.strip()[:64]}, wanted {wanted}",
            next="check the disk, then run this again",
        )


def make_folder(host: Host, path: str, *, user: Optional[str] = None, mode: str = "0700") -> None:
    """Creates ``path`` and its parents; only ``path`` itself gets ``mode``."""
    quoted = shlex.quote(path)
    host.run(
        f"mkdir -p -- {quoted} && chmod {mode} -- {quoted}", user=user, what=f"make folder {path}"
    )
