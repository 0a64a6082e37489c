"""The tracking queue on a test host: a plugin, hits, and what waits.

    installed = install(sandbox)                    # our stand-in, Redis, queue on
    installed = install(sandbox, "real", "mysql")   # the real one, from $MATOPS_QUEUEDTRACKING
    hits(sandbox, 30); depth(sandbox); recorded(sandbox)

Settings are ``plugin_setting`` rows, as the plugin's own page writes them. The plugin is
activated by console, which writes the whole ``[Plugins]`` list. ``sandbox.reset()`` (or the
fixture ``pristine``) takes all of it away; ``settings``, ``hits``, … may be used on their own.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest

from matops.matomo.site import Site
from matops.runbook.queue_drain_there import FRESH
from matops.runbook.queue_drain_there import depth as depth_of
from tests.sandbox import Sandbox

OURS, REAL = "ours", "real"
REDIS, MYSQL = "redis", "mysql"
LIST = "trackingQueueV1"
HOST = "analytics.example.org"
_STAND_IN = Path(__file__).parent.parent / "sandbox" / "files" / "plugins" / "QueuedTracking"


def real_source() -> Optional[Path]:
    """The copy of the real plugin that ``MATOPS_QUEUEDTRACKING`` names, or None."""
    path = os.environ.get("MATOPS_QUEUEDTRACKING", "")
    return Path(path) if path else None


def needs_real() -> None:
    """Skips the test where there is no copy of the real plugin."""
    if real_source() is None:
        pytest.skip("MATOPS_QUEUEDTRACKING names no copy of the real plugin")


def install(
    sandbox: Sandbox, plugin: str = OURS, backend: str = REDIS, *, active: bool = True,
    **more: object,
) -> None:  # fmt: skip
    """Puts the plugin there, activates it, and switches the queue on. Some 3 s.

    ``active`` False: only its files. ``more``: further settings, like ``numQueueWorkers=4``.
    """
    source = _STAND_IN if plugin == OURS else real_source()
    assert source is not None, "needs_real() first"
    folder = sandbox.root / f"{sandbox.docroot.lstrip('/')}/plugins/QueuedTracking"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".git", "tests"))
    sandbox.exec("chown", "-R", "www-data:www-data", f"{sandbox.docroot}/plugins/QueuedTracking")
    if not active:
        return
    # Rows are cached in PHP files, and opcache looks at those every 2 s only: not in these tests.
    for folder in (sandbox.root / "etc/php").glob("*/apache2/conf.d"):
        (folder / "99-tests.ini").write_text("opcache.revalidate_freq = 0\n")
    sandbox.exec("sh", "-c", "kill -USR1 $(cat /run/apache2/apache2.pid)")
    console(sandbox, "plugin:activate", "QueuedTracking")
    settings(sandbox, **{"backend": backend, "queueEnabled": 1, **more})


def uninstall(sandbox: Sandbox) -> None:
    """Only the plugin's files: as on a site that never had it."""
    folder = sandbox.root / f"{sandbox.docroot.lstrip('/')}/plugins/QueuedTracking"
    shutil.rmtree(folder, ignore_errors=True)


def empty(sandbox: Sandbox) -> None:
    """Nothing waits any more, in either backend; no locks."""
    redis(sandbox, "flushall")
    for (table,) in sandbox.sql("show tables in matomo like 'matomo\\_queuedtracking\\_%'"):
        sandbox.sql(f"delete from matomo.{table}")


def settings(sandbox: Sandbox, **values: object) -> None:
    """Rows of ``plugin_setting``, as the settings page writes them: at work at once."""
    rows = sandbox.sql(
        "select setting_name, setting_value from matomo.matomo_plugin_setting "
        "where plugin_name = 'QueuedTracking'"
    )
    there = {row[0]: row[1] for row in rows}
    statements = []
    for name, value in values.items():
        if there.get(name) == str(value):
            continue
        where = f"plugin_name = 'QueuedTracking' and setting_name = '{name}'"
        statements.append(f"delete from matomo.matomo_plugin_setting where {where}")
        statements.append(
            "insert into matomo.matomo_plugin_setting (plugin_name, setting_name, setting_value, "
            f"json_encoded, user_login) values ('QueuedTracking', '{name}', '{value}', 0, '')"
        )
    if statements:
        sandbox.sql(";".join(statements))
        console(sandbox, "core:clear-caches")  # else the tracker goes on with what it has cached


def console(sandbox: Sandbox, *words: str, check: bool = True) -> str:
    """Matomo's console as the web user, in the docroot."""
    command = 'cd "$0" && exec php console "$@"'
    done = sandbox.exec(
        "sh", "-c", command, sandbox.docroot, *words, user="www-data", check=check
    )  # fmt: skip
    return done.stdout


def hits(
    sandbox: Sandbox, count: int, *, query: str = "", visitor: str = "", post: bool = False
) -> list[str]:
    """That many page views, one after the other; the HTTP codes. ``visitor``: 16 hex digits
    (default: another one each). ``query`` is added to each; ``post``: as a bulk request."""
    if not count:
        return []
    blocks = []
    for _ in range(count):
        mark = uuid.uuid4().hex[:16]
        hit = f"idsite=1&rec=1&apiv=1&url=http://example.org/p/{mark}&_id={visitor or mark}{query}"
        to = f"http://127.0.0.1/matomo.php{'' if post else '?' + hit}"
        block = [f'url = "{to}"', f'header = "Host: {HOST}"', 'output = "/dev/null"',
                 'write-out = "%{http_code} "']  # fmt: skip
        if post:
            data = f'{{"requests":["?{hit}"]}}'.replace('"', '\\"')
            block.append(f'data = "{data}"')
        blocks.append("\n".join(block))
    done = sandbox.exec(
        "curl", "-s", "-K", "-", input="\nnext\n".join(blocks).encode()
    )  # one process
    return done.stdout.split()


def depth(sandbox: Sandbox, backend: str = REDIS, lists: int = 1) -> int:
    """Request sets that wait, in all lists together: asked of the backend itself."""
    names = [LIST, *(f"{LIST}_{number}" for number in range(1, lists))]
    if backend == REDIS:
        return sum(int(redis(sandbox, "llen", name)) for name in names)
    total = 0
    for name in names:
        table = f"matomo_queuedtracking_list_{name}"
        if sandbox.sql(f"show tables in matomo like '{table}'"):
            total += int(sandbox.sql(f"select count(*) from matomo.{table}")[0][0])
    return total


def until(done: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits for that, a moment at a time."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def aged(site: Site) -> None:
    """Waits until what waits is old enough for a drain of a queue that is in use: what came in
    while it begins is not its work."""
    until(lambda: depth_of(site)["oldest"] > FRESH)


def redis(sandbox: Sandbox, *words: str) -> str:
    """What redis-cli answers."""
    return sandbox.exec("redis-cli", *words).stdout.strip()


def twice(sandbox: Sandbox) -> int:
    """Page views of ``hits`` that are in the database more than once."""
    return int(
        sandbox.sql(
            "select count(*) from (select 1 from matomo.matomo_log_link_visit_action a join "
            "matomo.matomo_log_action u on u.idaction = a.idaction_url where u.name like "
            "'example.org/p/%' group by u.name having count(*) > 1) t"
        )[0][0]
    )


def recorded(sandbox: Sandbox) -> int:
    """Actions in the database."""
    return int(sandbox.sql("select count(*) from matomo.matomo_log_link_visit_action")[0][0])
