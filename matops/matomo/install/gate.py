"""Lets requests in flight end, and new ones wait, while the trees change places.

A request that began on one release loads its further classes from the other one: 500 (3 to 19 of
a thousand hits where answers took a second). Matomo includes ``bootstrap.php`` of its docroot
before anything else; for some seconds ours lies there. It takes a shared lock for as long as the
request lasts, and waits while the gate is closed. ``close`` closes it and waits until no request
holds the lock. A site that has a ``bootstrap.php`` of its own has no gate.

A request that waited began before the code cache was emptied and would go on with what that held,
looked at by the time of its own beginning: it does without the cache.

A gate that a killed run left lets everybody in after STALE seconds; ``remove`` (of ``sweep``)
takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Optional

from matops.matomo.release.owner import owner_of

NAME = "bootstrap.php"
MARK = "// matops: a gate, see install.gate"
STALE = 15
"""Seconds after which a closed gate is taken for a killed run's."""
_GRACE, _PATIENCE, _STEP = 2.0, 8.0, 0.005
"""Seconds: for requests that began before the gate stood; for those in flight; between looks."""

_SCRIPT = """<?php
@MARK@
if (PHP_SAPI !== 'cli') {
    $GLOBALS['matopsGate'] = @fopen(__DIR__ . '/@NAME@.lock', 'r');
    for ($i = 0; $GLOBALS['matopsGate'] && $i < 2000; $i++) {
        $held = flock($GLOBALS['matopsGate'], LOCK_SH | LOCK_NB);
        clearstatcache(true, __DIR__ . '/@NAME@.closed');
        $since = @filemtime(__DIR__ . '/@NAME@.closed');
        if ($since === false || time() - $since > @STALE@) {
            break;
        }
        if ($held) {
            flock($GLOBALS['matopsGate'], LOCK_UN);
        }
        if ($i === 0) {
            @ini_set('opcache.enable', '0');
        }
        usleep(5000);
    }
    clearstatcache(true);
    unset($i, $held, $since);
}
"""


class Gate:
    """``trees``: the docroot's tree first, then the one that takes its place. ``wanted`` False:
    no web server runs it, there is nothing to wait for."""

    def __init__(
        self, trees: Sequence[Path], docroot: str, web_user: str, *, wanted: bool = True
    ) -> None:
        self._wanted = wanted
        self._here, self._trees = trees[0], trees
        self._docroot, self._web_user = docroot, web_user
        self._name = f"matops-{secrets.token_hex(12)}"
        self._since = 0.0
        self._lock: Optional[IO[bytes]] = None
        self.note = ""
        """Why requests in flight were not waited for; '' where they were."""

    def __enter__(self) -> Gate:
        if not self._wanted:
            return self
        if os.path.lexists(self._here / NAME):
            self.note = f"{NAME} is the site's own: requests in flight were not waited for"
            return self
        try:
            lock = self._put(self._here / f"{self._name}.lock", "")
            self._lock = lock.open("rb")
            text = _SCRIPT.replace("@MARK@", MARK).replace("@STALE@", str(STALE))
            beside = self._put(self._here / f"{self._name}.php", text.replace("@NAME@", self._name))
            os.rename(beside, self._here / NAME)  # never half a script
        except BaseException:
            self._remove()
            raise
        self._since = time.monotonic()
        return self

    def _put(self, path: Path, text: str) -> Path:
        owner = owner_of(self._docroot, self._web_user)
        path.write_text(text)
        if os.geteuid() == 0:
            os.chown(path, owner.uid, owner.gid)
        path.chmod(0o640)
        return path

    def close(self) -> None:
        """New requests wait from here on; those in flight have ended, or had their time."""
        if self._lock is None:
            return
        time.sleep(max(self._since + _GRACE - time.monotonic(), 0))
        for tree in self._trees:
            self._put(tree / f"{self._name}.closed", "")
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(_STEP)
        self.note = f"requests were in flight for more than {_PATIENCE:.0f} s: not waited for"

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for tree in self._trees:
            remove(str(tree))
            for ending in ("closed", "lock", "php"):
                with contextlib.suppress(OSError):
                    (tree / f"{self._name}.{ending}").unlink()
        if self._lock:
            self._lock.close()


def is_gate(path: str) -> bool:
    """Whether that ``bootstrap.php`` is ours."""
    try:
        with open(path, "rb") as file:
            return MARK.encode() in file.read(200)
    except OSError:
        return False


def remove(tree: str) -> None:
    """Takes our gate out of a tree; somebody's own ``bootstrap.php`` stays."""
    path = os.path.join(tree, NAME)
    if is_gate(path):
        with contextlib.suppress(OSError):
            os.unlink(path)
