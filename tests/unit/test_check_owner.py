"""The rules about who owns Matomo's files and who runs console."""

from __future__ import annotations

from typing import Any

import pytest

from matops.runbook import check
from matops.runbook.checks import matomo
from matops.runbook.checks.result import CheckResult
from tests.unit.check_facts import facts


def _owned(top: str, **changes: Any) -> dict[str, Any]:
    folders = facts().probe("ownership")["folders"]
    return {"ownership": {"folders": {**folders, top: {**folders[top], **changes}}}}


def test_ownership() -> None:
    def wrong(top: str, **more: Any) -> CheckResult:
        seen = _owned(top, wrong=1, examples=[[f"{top}/x.php", "root"]])
        return matomo.ownership(facts({**seen, **more}))

    assert wrong("tmp").status == "fail"
    assert wrong("core").status == "warn"
    assert wrong("tmp").todo == "chown -R --from=root www-data /var/www/html"
    # No advice to give files away while it is not sure to whom.
    doubts: list[dict[str, Any]] = [
        {"web.running": {}},
        {"web.running": {"apache2": ["apache"]}},
        {"site.config_stat": {"owner": "root", "mode": "0644"}},
    ]
    for doubt in doubts:
        assert "chown" not in wrong("tmp", **doubt).todo


@pytest.mark.parametrize("privileged", [True, False])
def test_ownership_that_was_not_seen_whole(privileged: bool) -> None:
    denied = matomo.ownership(facts(_owned("tmp", denied=2), privileged=privileged))
    assert denied.status == "unknown"
    assert "2 folders could not be entered" in denied.found
    assert ("sudo" in denied.todo) != privileged
    partly = matomo.ownership(facts(_owned("tmp", all=False), privileged=privileged))
    assert partly.status == "unknown"
    assert partly.found == "the first 900 looked at are; not all of tmp was looked at"
    assert matomo.ownership(facts(privileged=privileged)).status == "ok"


def test_a_web_user_that_is_not_known() -> None:
    why = "config.ini.php belongs to root, and PHP may run as any of a, b"
    gone = {"site.web_user_why": why, "ownership": {"reason": "the web user is not known"}}
    results = {r.name: r for r in check.evaluate(facts(gone, web_user=""))}
    assert (results["web-user"].status, results["web-user"].found) == ("fail", why)
    assert "set web_user in config/matops.yaml" in results["web-user"].todo
    assert results["ownership"].status == "unknown"
    assert not any("chown" in r.todo for r in results.values())


def test_a_configuration_of_somebody_else() -> None:
    def owned_by(owner: str) -> CheckResult:
        return matomo.web_user(facts({"site.config_stat": {"owner": owner, "mode": "0640"}}))

    assert owned_by("root").status == "warn"
    assert owned_by("deploy").found == "www-data (apache2); config.ini.php belongs to deploy"
