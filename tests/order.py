"""The longest files first, so that no worker (``pytest -n``) is left with a long one at the end.

Workers are handed whole files (``--dist loadfile``): those of a file share its fixtures. By default
xdist hands out files with many tests first, and the whole outage, one test, when all else is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

# Seconds of a quiet machine, roughly: their order is what matters. From `--junitxml`.
SECONDS = {
    "e2e/test_outage": 240, "db/test_optimize_faults": 160, "e2e/test_recover": 150,
    "e2e/test_prep": 115, "host/test_config_backup": 100, "host/test_queue_faults": 80,
    "host/test_replay": 75, "host/test_queue": 70, "host/test_migrate_ahead": 65,
    "host/test_core_update": 60, "host/test_install": 60, "host/test_tasks": 60,
    "host/test_install_traffic": 55, "host/test_archive": 50, "host/test_gap": 45,
    "host/test_rehearse": 45, "db/test_optimize_run": 45, "host/test_purge": 40,
    "host/test_archiver_stop": 35, "db/test_tasks": 35, "host/test_shell": 35,
    "host/test_stage": 35, "db/test_ahead": 30, "db/test_estimate": 30,
    "host/test_invalidations_change": 30, "db/test_purge_faults": 28, "db/test_db_backup": 28,
}  # fmt: skip
_OTHERS = {"e2e": 100, "host": 25, "db": 12}


def seconds(path: str) -> float:
    """What the tests of a file take, by its path: ``…/tests/host/test_queue.py``."""
    file = PurePath(path)
    folder = file.parent.name
    return SECONDS.get(f"{folder}/{file.stem}", _OTHERS.get(folder, 1))


def by_length(paths: Iterable[str]) -> list[int]:
    """The places of tests (each given by its file) in the order in which they shall run: a file's
    stay together, and in their order."""
    given = list(paths)
    first: dict[str, int] = {}
    for place, path in enumerate(given):
        first.setdefault(path, place)
    return sorted(range(len(given)), key=lambda n: (-seconds(given[n]), first[given[n]], n))
