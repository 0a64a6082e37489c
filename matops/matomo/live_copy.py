"""A private copy of the *live* code that works on the scratch database: does it still track, and
report, with columns and indexes that it does not know?

The same copy, guard and proofs as for the staged release (``staged_tree``, ``staged_console``):
nothing live is read but files, nothing live is written.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional
from urllib.parse import urlencode

from matops.errors import MatopsError, Refused
from matops.matomo.staged_console import StagedConsole
from matops.matomo.staged_tree import SKIPPED, StagedTree
from matops.mysql.session import Session

_FOLDERS = ("core", "js", "lang", "libs", "misc", "node_modules", "plugins", "vendor")
_FILES = re.compile(r"console|[\w.-]+\.(?:php|js|json|css)")
_WAIT = 120  # seconds for one request
_SCRIPT = "matops-hit.php"

# As a web server would call the tracker; ``config/config.php`` guards this process, too.
_HIT = r"""<?php
$_GET = json_decode(base64_decode('@QUERY@'), true);
$_REQUEST = $_GET;
$_SERVER = array_merge($_SERVER, array('REQUEST_METHOD' => 'GET', 'HTTP_HOST' => 'localhost',
    'SERVER_NAME' => 'localhost', 'REMOTE_ADDR' => '@FROM@', 'SCRIPT_NAME' => '/matomo.php',
    'REQUEST_URI' => '/matomo.php', 'QUERY_STRING' => http_build_query($_GET),
    'HTTP_USER_AGENT' => 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    'HTTP_ACCEPT_LANGUAGE' => 'en'));
require __DIR__ . '/matomo.php';
"""


class LiveTree(StagedTree):
    """A copy of the live tree's code; what else lies in the docroot is left where it is."""

    def parts(self, source: Path) -> list[Path]:
        """Matomo's own folders and the PHP files of ``source``, a docroot."""
        return sorted(
            each
            for each in source.iterdir()
            if each.name not in SKIPPED
            and (each.name in _FOLDERS if each.is_dir() else _FILES.fullmatch(each.name))
        )

    def _has_room(self, source: Path, plugins: Sequence[Path]) -> None:
        first, *others = self.parts(source)
        super()._has_room(first, [*others, *plugins])


class OldCode:
    """The live release's code on the scratch database. ``scratch``: a session in that schema.

    ``console`` must be equipped and proven before. Only the site that is asked about is touched.
    """

    def __init__(self, console: StagedConsole, scratch: Session, prefix: str) -> None:
        self._console, self._scratch, self._prefix = console, scratch, prefix
        rows = scratch.rows("ahead_site", site=f"{prefix}site")
        if not rows:
            raise Refused(
                "this Matomo has no site: whether it tracks cannot be tried",
                state="Nothing was changed",
            )
        self._site = int(rows[0]["idsite"])
        self._url = str(rows[0]["url"] or "http://example.org/")
        # So that an order can be tracked, too: it writes to the tables of conversions.
        scratch.execute("ahead_site_prepare", (self._site,), site=f"{prefix}site")

    def track(self, visitor: str, from_ip: str) -> None:
        """A page view and an order of one visitor (16 hex digits), then reads them back.

        ``from_ip``: another one for each, or Matomo takes them for the same visitor. Refused where
        a raw table did not get its row, with what the tracker said.
        """
        tables = ("log_visit", "log_link_visit_action", "log_conversion", "log_conversion_item")
        before = {table: self._count(table) for table in tables}
        base = {"idsite": self._site, "rec": 1, "_id": visitor, "send_image": 0, "url": self._url}
        order = {"idgoal": 0, "ec_id": visitor, "revenue": 3,
                 "ec_items": json.dumps([["matops", "a test", "", 3, 1]])}  # fmt: skip
        said = self._hit({**base, "action_name": "matops"}, from_ip)
        said += self._hit({**base, **order}, from_ip)
        for table in tables:
            if self._count(table) != before[table] + 1:
                raise Refused(
                    f"the live code ({self.version}) does not track on the copy: nothing came "
                    f"into {self._prefix}{table}: {_one_line(said) or 'it said nothing'}",
                    state="Nothing live was changed",
                )

    def visits(self) -> int:
        """Visits that it reports for the site, archived anew: of today and yesterday."""
        query = {"module": "API", "method": "VisitsSummary.getVisits", "idSite": self._site,
                 "period": "day", "date": "last2", "format": "json",
                 "trigger": "archivephp"}  # fmt: skip
        words = ["climulti:request", "--superuser", urlencode(query)]
        code, text = self._console.run(words)
        found = _answer(text)
        if code or found is None:
            raise Refused(
                f"the live code ({self.version}) does not report on the copy: {_one_line(text)}",
                state="Nothing live was changed",
            )
        return sum(found.values())

    @property
    def version(self) -> str:
        """``5.3.1``."""
        path = self._console.tree.tree / "core" / "Version.php"
        found = re.search(r"VERSION\s*=\s*'([^']+)'", path.read_text(errors="replace"))
        return found[1] if found else "unknown version"

    def _count(self, table: str) -> int:
        return int(self._scratch.value("rows_count", table=f"{self._prefix}{table}"))

    def _hit(self, query: Mapping[str, object], from_ip: str) -> str:
        tree = self._console.tree
        data = base64.b64encode(json.dumps({k: str(v) for k, v in query.items()}).encode())
        script = _HIT.replace("@QUERY@", data.decode()).replace("@FROM@", from_ip)
        tree.write(str(tree.tree / _SCRIPT), script)
        try:
            done = subprocess.run(
                [self._console.php, str(tree.tree / _SCRIPT)], cwd=tree.tree, timeout=_WAIT,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                **tree.web_user.options(tree.folder),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise MatopsError(
                f"a request to the tracker's copy did not end in {_WAIT} s",
                state="Nothing live was changed",
                next="see what the database waits for: db.locks",
            ) from None
        said: bytes = done.stdout
        return said.decode(errors="replace")


def _answer(text: str) -> Optional[dict[str, int]]:
    """``{"2026-11-22": 2}`` from the console's output, which may say more; a day without visits
    is left out, or []."""
    for line in reversed(text.splitlines()):
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if isinstance(data, dict) and all(re.match(r"\d{4}-\d\d-\d\d$", key) for key in data):
            return {key: value if isinstance(value, int) else 0 for key, value in data.items()}
        return None
    return None


def _one_line(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]
