"""``recover``: the system comes back, then the hits of the outage."""

from __future__ import annotations

import functools
import time
from typing import Any

from matops.errors import UsageError
from matops.report.progress import Progress
from matops.runbook import outage_state, recovery
from matops.runbook.archive_run import Asked as RunAsked
from matops.runbook.log_gap_judge import ADDRESSES, HOLES
from matops.runbook.log_gap_plan import Typed
from matops.runbook.outage import Outage
from matops.runbook.phases import Servers, Voice
from matops.runbook.recovery import RECOVER, Recover
from matops.runbook.replay_asked import IMPORT_LOGS, NATIVE
from matops.runbook.replay_asked import Asked as ReplayAsked
from matops.runbook.tracking_edge import OFF
from matops.tasks import logs_gap, logs_replay
from matops.tasks.desk import CHANGING, YES_HELP, Desk, one_of, operation
from matops.tasks.phase_run import run_phase

_REPLAY = logs_replay.FLAGS
_GAP = logs_gap.FLAGS


@operation(
    help={
        "trial-site": "build and compare the reports of this site (its number) first, then all",
        "no-archive": "leave the reports alone: archive.invalidate and archive.run another time",
        "archivers": "how many core:archive may run at once, on all servers together",
        "url": "address for core:archive's own requests, where archiving by CLI is not possible",
        "how": _REPLAY["how"],
        "workers": _REPLAY["workers"],
        "max-load": _REPLAY["max-load"],
        "rate": _REPLAY["rate"],
        "token-file": _REPLAY["token-file"],
        "logs": _GAP["logs"],
        "check": _GAP["check"],
        "accept-holes": _GAP["accept-holes"],
        "accept-addresses": _GAP["accept-addresses"],
        "accept-account": "close the outage's record although the account does not close",
        "prove-with-hit": "send a real hit to this site (its number) where no visitor's comes "
        "within 20 s; it stays there as a visit",
        "yes": YES_HELP,
        **CHANGING,
    }
)
def recover(
    c: Any,
    trial_site: str = "",
    no_archive: bool = False,
    archivers: str = "3",
    url: str = "",
    how: str = NATIVE,
    workers: str = "4",
    max_load: str = "2",
    rate: str = "0",
    token_file: str = "",
    logs: str = "",
    check: str = "edges",
    accept_holes: bool = False,
    accept_addresses: bool = False,
    accept_account: bool = False,
    prove_with_hit: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
    take_over: bool = False,
    local: bool = False,
) -> None:
    """End the outage: bring the system back, record its hits, build its reports anew.

    In this order, on every listed server: tracking.on (with an exact mark), maintenance.off,
    archiver.start, queue.drain, queue.put-back, queue.release; then, where the access logs kept
    the hits, logs.gap and logs.replay; then archive.invalidate, archive.run and archive.compare for
    the days concerned; at the end the account of every hit, which must close. Cut off anywhere:
    the same command again goes on, and no hit is recorded twice.
    Examples: fab -H web1 recover --dry-run; fab -H web1 recover --trial-site 3329
    """
    flags = {k: v for k, v in locals().items() if k != "c"}
    for name in ("trial_site", "prove_with_hit"):
        if flags[name] and not flags[name].isdigit():
            raise UsageError(f"--{name.replace('_', '-')}: '{flags[name]}' is not a site's number")
    if not archivers.isdigit() or not 1 <= int(archivers) <= 64:
        raise UsageError(f"--archivers: '{archivers}' is not a number from 1 to 64")
    gap, replay = _gap(flags), _replay(flags)
    desk = Desk(c, json=json)
    site = desk.site(changes=not dry_run, local=local)
    record = outage_state.lead(site, "recover")
    if named := [int(flags[name]) for name in ("trial_site", "prove_with_hit") if flags[name]]:
        site.ask("matomo.archive_days:known", sites=named)  # now, not hours later
    recovery.demand_updated(site, record)
    servers = Servers(desk.sites(site), desk.sites(site, archivers=True))
    began = any(Outage(each).noted(OFF) for each in servers.web)
    for line in recovery.notes(record, gap_begun=began):
        desk.say(f"note: {line}")
    wanted = Recover(
        functools.partial(Progress, say=desk.say), time.time() + site.settings.gap_keep, gap,
        replay, accept_account, int(trial_site or 0), not no_archive,
        RunAsked(archivers=int(archivers), url=url), int(prove_with_hit or 0), began,
    )  # fmt: skip

    def make() -> Any:
        return recovery.recover(servers, Voice(desk.say, desk.write), wanted, record)

    if run_phase(desk, site, RECOVER, make, yes=yes, dry_run=dry_run, take_over=take_over):
        desk.say("the outage is over; invalidations.size shows what the archiver has yet to do")


def _gap(flags: dict[str, Any]) -> Typed:
    accept = [name for name in (HOLES, ADDRESSES) if flags[f"accept_{name}"]]
    return Typed(check=one_of(flags["check"], ("edges", "all"), "check"), logs=flags["logs"],
                 accept=accept)  # fmt: skip


def _replay(flags: dict[str, Any]) -> ReplayAsked:
    """As ``logs.replay`` reads them; the file is known only when its turn comes."""
    typed = {"file": "", "batch": "100", "sites": "", "through_queue": False, "import_logs": "",
             "no_check": False, "timeout": "2m", "patience": "10m"}  # fmt: skip
    keys = ("how", "workers", "max_load", "rate", "token_file")
    one_of(flags["how"], (NATIVE, IMPORT_LOGS), "how")
    return logs_replay.parse({**typed, **{key: flags[key] for key in keys}, "url": ""})
