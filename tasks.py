"""The tasks of matops, in the order of the runbook: a table of contents, no logic.

``fab --list`` shows them; ``fab --help TASK`` explains one. ``fab -H HOST TASK`` works on that
host over SSH, ``inv TASK`` on this very machine.
"""

from invoke import Collection

from matops.tasks import (
    archive,
    archiver,
    check,
    config,
    console,
    core_update,
    db,
    invalidations,
    jobs,
    logs,
    maintenance,
    migrate,
    notify,
    offline,
    outage,
    plan,
    prep,
    queue,
    recover,
    rehearse,
    release,
    rollback,
    status,
    tracking,
    update,
)

ns = Collection()

# Before the upgrade, the system is up: stage, back up, look, purge.
ns.add_task(prep.prep)
ns.add_collection(release.ns)
ns.add_collection(config.ns)
ns.add_task(check.check)
ns.add_collection(archive.ns)
ns.add_collection(logs.ns)

# Know before the outage: rehearse, plan, tell the customers, take the big ALTERs out of it.
ns.add_task(rehearse.rehearse)
ns.add_task(plan.plan)
ns.add_collection(notify.ns)
ns.add_collection(migrate.ns)

# The outage begins: the UI is closed, what archives is held, hits are kept for later.
ns.add_task(offline.offline)
ns.add_collection(maintenance.ns)
ns.add_collection(archiver.ns)
ns.add_collection(queue.ns)
ns.add_collection(tracking.ns)

# The outage: new files, then the database; or the way back.
ns.add_task(update.update)
ns.add_collection(core_update.ns)
ns.add_task(rollback.rollback)
ns.add_collection(outage.ns)

# The system comes back: the hits of the outage, then the reports (logs.gap, logs.replay and
# archive.invalidate, archive.run, archive.compare are its parts).
ns.add_task(recover.recover)

# The database: look at it at any time; optimize it while it is up.
ns.add_collection(db.ns)

# The archiver's queue: what it has yet to do.
ns.add_collection(invalidations.ns)

# At any time.
ns.add_task(console.console)
ns.add_collection(jobs.ns)
ns.add_task(status.status)

ns.configure({"run": {"hide": True}})
