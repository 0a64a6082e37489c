"""``invalidations.*``: the archiver's queue in the database: size it, truncate it, undo it."""

from __future__ import annotations

from invoke import Collection

from matops.tasks import invalidations_change, invalidations_size

ns = Collection("invalidations")
for task in (*invalidations_size.TASKS, *invalidations_change.TASKS):
    ns.add_task(task)
