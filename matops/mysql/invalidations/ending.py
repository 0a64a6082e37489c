"""Ends what a killed run began, whatever it was, by the rule that it wrote down."""

from __future__ import annotations

from typing import Optional

from matops.mysql.invalidations import carve, clear_flags, dedupe, restore, swap
from matops.mysql.invalidations.keep import DUPLICATES
from matops.mysql.invalidations.record import CARVE, FLAGS, REPLACED, RESTORING, Record, unfinished
from matops.mysql.invalidations.tools import Tools


def left(tools: Tools) -> list[Record]:
    """What killed runs left, the oldest first."""
    return unfinished(tools.records.all())


def find(tools: Tools, record: Record) -> carve.Find:
    """Finds the rows that a carve takes out: of those there were when it was begun."""
    rule = record.rule
    if rule.only == DUPLICATES:
        return dedupe.finder(tools.session, tools.table, rule)
    return carve.finder(tools, rule, record.boundary)


def end(tools: Tools, record: Record) -> Optional[Record]:
    """Its last state; None where nothing had happened yet, and all traces are gone.

    Refused, MatopsError where what is found fits no state of the record.
    """
    if record.state == RESTORING:
        return restore.put_back(tools, record).record
    if record.method == REPLACED:
        return restore.finish(tools, record).record if restore.settle(tools, record) else None
    if record.method == FLAGS:
        return clear_flags.clear(tools, record.why)
    if record.method == CARVE:
        if not carve.settle(tools, record):
            return None
        return carve.finish(tools, record, find(tools, record))
    return swap.finish(tools, record) if swap.settle(tools, record) else None
