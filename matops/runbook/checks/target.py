"""What the staged release wants of this host and of the plugins installed here."""

from __future__ import annotations

from matops.matomo.release import requirements as release
from matops.runbook.checks.result import CheckResult, Facts


def requirements(facts: Facts) -> list[CheckResult]:
    """One line a requirement, as ``target: …``; none where nothing is staged."""
    if facts.staged is None or not facts.staged.target:
        return []
    return [
        CheckResult(f"target: {f.name}", f.status, f.found, f.wanted, f.todo)
        for f in release.requirements(dict(facts.probe("site")), facts.staged.target)
    ]
