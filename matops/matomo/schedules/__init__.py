"""Schedules that run Matomo's console: found, held so that nothing starts them, put back exactly.

Runs on the host, as root where that is to be had. ``hold`` writes down what it finds in a ledger
(``<keep>/<who>.json``) before it changes it; several holders (``who``: ``archiver``, ``workers``)
may hold lines of one file at the same time and put them back in any order.
"""

from matops.matomo.schedules.keeping import find, held, hold, release
from matops.matomo.schedules.words import ALL, ARCHIVE, CONSOLE, QUEUE, TASKS

__all__ = ["ALL", "ARCHIVE", "CONSOLE", "QUEUE", "TASKS", "find", "held", "hold", "release"]
