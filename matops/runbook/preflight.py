"""Step ``check``: the preflight table. Reads only; stops the run when a check fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

from matops.errors import Refused
from matops.host.shell import Host
from matops.matomo.site import Site
from matops.runbook import check
from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult
from matops.runbook.step import Action, Evidence, Look, Say, Step

Show = Callable[[Sequence[CheckResult]], None]


class Preflight(Step):
    """Every check, shown as a table. ``force`` names those that may fail all the same.

    ``target_version``: the release to go to, where it is known before it is staged.
    """

    name = "check"
    title = "Preflight checks"
    changes_data = False
    reads_only = True

    def __init__(
        self,
        site: Site,
        say: Say,
        show: Show,
        *,
        force: Sequence[str] = (),
        target_version: str = "",
        window: Optional[int] = None,
        db_host: Optional[Host] = None,
        others: Sequence[Host] = (),
    ) -> None:
        """Raises UsageError for a name in ``force`` that no check has."""
        super().__init__(site, say)
        self._show, self._force, self._window = show, check.known(force), window
        self._target_version = target_version
        self._db_host, self._others = db_host, others
        self.results: list[CheckResult] = []

    def look(self) -> Look:
        """Nothing to plan: it only reads."""
        return Look()

    def act(self, action: Action) -> None:
        """Nothing to do."""

    def verify(self) -> Evidence:
        """Asks, judges, shows; Refused when a check fails that is not overridden."""
        facts = check.collect(
            self.site.host,
            self.site.settings,
            target_version=self._target_version,
            window=self._window,
            db_host=self._db_host,
            others=self._others,
        )
        self.results = check.evaluate(facts)
        self._show(self.results)
        return judge(self.results, self._force, self.site.host.name)


def judge(results: Sequence[CheckResult], force: Sequence[str], host: str) -> Evidence:
    """One line of counts. Refused when a check fails that ``force`` does not name."""
    counts = {s: sum(r.status == s for r in results) for s in (OK, WARN, FAIL, UNKNOWN)}
    line = ", ".join(f"{count} {status}" for status, count in counts.items())
    failed = check.failures(results, force)
    if failed:
        raise Refused(
            f"the preflight says no: {'; '.join(f'{r.name}: {r.found}' for r in failed)}",
            host=host,
            state=f"Nothing was changed by the checks ({line})",
            next=f"see 'to do' above; to go on all the same: --force \"{failed[0].name}\"",
        )
    forced = [name for name in force if any(r.name == name and r.status == FAIL for r in results)]
    return Evidence(line + (f" (overridden: {', '.join(forced)})" if forced else ""), dict(counts))
