"""The private copy of a staged tree: made for one rehearsal, removed after it. Runs on the host.

A copy, not links: PHP resolves ``__DIR__`` through symbolic links, so that a linked tree would
read and write the stage; and core:update writes ``.htaccess`` files and caches into its tree.
The stage stays as it was unpacked.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from matops.errors import MatopsError, PrivilegeMissing, Refused
from matops.matomo.release.faults import room, told
from matops.units import show_size

CONFIG_KEPT = ("global.ini.php", "global.php", "environment", "manifest.inc.php")
"""Of a tree's config/ nothing else is copied: no file that could name another database."""
SKIPPED = ("tmp", "config", "bootstrap.php")
_SPARE = 64 << 20  # bytes that must be left free
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class WebUser:
    """Whose PHP it is, and how a process becomes that user."""

    name: str

    def demand(self) -> None:
        """PrivilegeMissing where we can neither be nor become that user; Refused for root."""
        try:
            entry = pwd.getpwnam(self.name)
        except KeyError:
            raise Refused(
                f"which user runs Matomo's PHP cannot be told ({self.name or 'none found'})",
                state="Nothing was run",
                next="set web_user in config/matops.yaml",
            ) from None
        if entry.pw_uid == 0:
            raise Refused("Matomo's PHP is not run as root", state="Nothing was run")
        if os.geteuid() not in (0, entry.pw_uid):
            raise PrivilegeMissing(
                f"only {self.name} may run Matomo's PHP, and we are uid {os.geteuid()}",
                state="Nothing was run",
                next=f"give the login user sudo, or log in as {self.name}",
            )

    def options(self, folder: Path) -> dict[str, Any]:
        """For subprocess: that user, a folder, an environment of which nothing is inherited."""
        entry = pwd.getpwnam(self.name)
        environment = {
            "PATH": _PATH,
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            # The usual folders of ini files, then ours: children inherit it.
            "PHP_INI_SCAN_DIR": f":{folder / 'ini'}",
        }
        options: dict[str, Any] = {"env": environment, "umask": 0o077, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            groups = os.getgrouplist(self.name, entry.pw_gid)
            options.update(user=entry.pw_uid, group=entry.pw_gid, extra_groups=groups)
        return options


class StagedTree:
    """``folder/matomo`` is the copy; ``folder`` is the web user's own, 0700."""

    def __init__(self, folder: Path, web_user: WebUser) -> None:
        self.folder = folder
        self.web_user = web_user
        self.tree = folder / "matomo"
        self.config = self.tree / "config"

    def make(self, source: Path, plugins: Sequence[Path] = ()) -> None:
        """Copies the tree ``source`` and the ``plugins`` (folders) that it lacks.

        Neither configuration nor caches come along. Raises Refused (no room), MatopsError.
        """
        self._has_room(source, plugins)
        parts = self.parts(source)
        kept = [source / "config" / name for name in CONFIG_KEPT]
        with told("copy the staged tree", str(self.folder), "Nothing was run"):
            self.folder.mkdir(mode=0o700)
            if os.geteuid() == 0:
                entry = pwd.getpwnam(self.web_user.name)
                os.chown(self.folder, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        made = ["tmp", "ini", "matomo", "matomo/config", "matomo/tmp"]
        self._run(["mkdir", "--", *(str(self.folder / name) for name in made)])
        self._copy(parts, self.tree)
        self._copy([each for each in kept if each.exists()], self.config)
        self._copy(plugins, self.tree / "plugins", "-L")
        self._run(["rm", "-rf", "--", str(self.tree / "misc" / "user")])

    def parts(self, source: Path) -> list[Path]:
        """What of ``source`` is copied; its config/ goes by CONFIG_KEPT."""
        return sorted(each for each in source.iterdir() if each.name not in SKIPPED)

    def write(self, name: str, text: str) -> None:
        """A file of the copy, 0600, the web user's. ``name`` is relative to its folder."""
        path = self.folder / name
        self._run(["mkdir", "-p", "--", str(path.parent)])
        self._run(["tee", "--", str(path)], text.encode())

    def empty_tmp(self) -> None:
        """Removes the copy's own caches: what its console does next, it does as if new."""
        self._run(["rm", "-rf", "--", str(self.tree / "tmp")])
        self._run(["mkdir", "--", str(self.tree / "tmp")])

    def _copy(self, what: Sequence[Path], where: Path, *flags: str) -> None:
        if what:
            words = ["cp", "-R", *flags, "--preserve=mode,timestamps", "--reflink=auto", "--"]
            self._run([*words, *(str(each) for each in what), str(where)])

    def _run(self, words: list[str], data: Optional[bytes] = None) -> None:
        options = self.web_user.options(self.folder)
        if data is not None:
            options.pop("stdin")
            options["input"] = data
        done = subprocess.run(
            words, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
        )
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise MatopsError(
                f"the private copy of the stage cannot be made: {why[-1] if why else words[0]}",
                state="Nothing was run",
                next=f"check {self.folder.parent} ({room(str(self.folder.parent))})",
            )

    def _has_room(self, source: Path, plugins: Sequence[Path]) -> None:
        size, files = _measure([source, *plugins])
        disk = os.statvfs(self.folder.parent)
        free = disk.f_bavail * disk.f_frsize
        if size + _SPARE > free or (disk.f_files and files > disk.f_favail):
            raise Refused(
                f"not enough room at {self.folder.parent} for a private copy: {show_size(size)} "
                f"and {files} inodes are needed, {room(str(self.folder.parent))}",
                state="Nothing was changed",
                next="free some space there, then run this again",
            )

    def processes(self) -> list[int]:
        """Processes whose working folder is in the copy: what a killed run had started."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and f"{os.readlink(f'/proc/{entry}/cwd')}/".startswith(
                    f"{self.folder}/"
                ):
                    found.append(int(entry))
        return found

    def clear(self) -> list[str]:
        """Ends what runs in the copy and removes it; what was there, a line each."""
        lines: list[str] = []
        for _ in range(50):
            running = self.processes()
            if not running:
                break
            if not lines:
                lines.append(f"a console of it that still ran (pid {running[0]})")
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        if self.folder.is_symlink() or self.folder.exists():
            lines.append(f"the private copy {self.folder}")
            self.remove()
        return lines

    def remove(self) -> None:
        """Removes the copy; MatopsError where something of it stays. Safe to call twice."""
        with told("remove the private copy", str(self.folder), "It holds no live data"):
            if self.folder.is_symlink():
                self.folder.unlink()
            elif self.folder.exists():
                shutil.rmtree(self.folder)


def own_plugins(docroot: Path, stage: Path, retired: Iterable[str]) -> list[Path]:
    """Plugins of the live tree that the release does not bring: installed by the operator.

    ``retired``: what came with the live release; such a plugin is not taken along.
    """
    gone = set(retired)
    found = []
    for path in sorted((docroot / "plugins").iterdir()):
        if path.name in gone or (stage / "plugins" / path.name).exists():
            continue
        if path.is_dir() and any(path.iterdir()):
            found.append(path)
    return found


def _measure(tops: Sequence[Path]) -> tuple[int, int]:
    """(bytes on disk, entries) of some folders."""
    size = files = 0
    for top in tops:
        for folder, names, entries in os.walk(top):
            files += len(names) + len(entries)
            for name in entries:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_size + 4096
    return size, files
