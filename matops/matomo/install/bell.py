"""Tells PHP, in the moment of an exchange, that its code cache is out of date.

opcache looks at a file's time at most every ``opcache.revalidate_freq`` seconds (2 unless set), or
never. Until then a request would run cached files of one release with fresh ones of the other:
seen as 500s for a second or more, 25 of 3198 hits. So the small script of ``serve`` lies in both
trees before they change places, and is asked the moment they have: ``opcache_reset`` keeps new
requests off the cache at once, while those in flight end with what they began with.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from matops.matomo.install import reload, serve
from matops.matomo.release import exposure, webconf
from matops.matomo.release.exposure import Base
from matops.matomo.release.owner import owner_of


class Bell:
    """``trees``: where the script is put. ``web``: as of ``serve.prove``; None: nobody is told."""

    def __init__(
        self, docroot: str, trees: Sequence[Path], web: Optional[dict[str, Any]], web_user: str,
        *, may_reload: bool = True,
    ) -> None:  # fmt: skip
        self._docroot, self._web, self._web_user = docroot, web, web_user
        self._may_reload = may_reload
        self._word = secrets.token_hex(16)
        self._name = f"matops-{secrets.token_hex(12)}.php"
        self._paths = [tree / self._name for tree in trees]
        self._doors: list[tuple[Base, str]] = []
        self.done: list[str] = []
        """What was reloaded, where PHP could not be told otherwise."""

    def __enter__(self) -> Bell:
        if self._web is None:
            return self
        owner = owner_of(self._docroot, self._web_user)
        try:
            for path in self._paths:
                path.write_text(serve.SCRIPT.replace("@WORD@", self._word))
                if os.geteuid() == 0:
                    os.chown(path, owner.uid, owner.gid)
                path.chmod(0o640)
            self._find_doors(self._web)
        except BaseException:
            self._remove()
            raise
        return self

    def _find_doors(self, web: dict[str, Any]) -> None:
        conf = webconf.read()
        prefixes = serve.prefixes(self._docroot, str(web.get("url") or ""), conf.mappings)
        for base in exposure.bases(web, conf):
            for prefix in prefixes:
                path = f"{prefix}{self._name}?word={self._word}"
                answer = serve.get(base, path)
                if answer is None:
                    break
                if serve.said(answer[1], self._word):
                    self._doors.append((base, path))
                    break
        # This machine first: each millisecond counts.
        self._doors.sort(key=lambda door: door[0].address not in ("127.0.0.1", "::1"))

    def ring(self) -> None:
        """To be called the moment the files have changed."""
        if self._web is None:
            return
        heard = []
        for base, path in self._doors:
            answer = serve.get(base, f"{path}&reset=1")
            heard.append(serve.said(answer[1], self._word) if answer else None)
        if stubborn(heard) and self._may_reload:
            self.done = reload.all_servers()

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink()


def stubborn(heard: Sequence[Optional[dict[str, Any]]]) -> bool:
    """Did none empty a cache: not asked at all, or forbidden (opcache.restrict_api)? Pure.

    One is enough: while the reset that it asked for is under way, all others hear false."""
    said = [each for each in heard if each]
    if any(each["reset"] is True for each in said):
        return False
    return not heard or any(each["cache"] for each in said)
