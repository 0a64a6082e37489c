"""``maintenance.on`` and ``.off`` on the real host: what the web server answers is the proof."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from matops.matomo import witness
from matops.runbook import arrival
from matops.runbook.engine import DONE, FAILED
from matops.runbook.maintenance import MaintenanceOff, MaintenanceOn
from matops.runbook.outage import Outage
from tests.conftest import Fab, SiteFactory
from tests.host.switch_kit import CONFIG, LOG, keep, log_as, put_back, run, shell, silent
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def kept(sandbox: Sandbox) -> Iterator[None]:
    """The configuration, Apache's and its log, as they were."""
    keep(sandbox)
    yield
    put_back(sandbox)


def page(sandbox: Sandbox) -> str:
    """Status of the UI, and whether it is the maintenance page."""
    ask = "curl -s -w '%{http_code}' -H 'Host: analytics.example.org' http://127.0.0.1/index.php"
    text = shell(sandbox, ask)
    return text[-3:] + (" closed" if "undergoing maintenance" in text else "")


def test_on_and_off_as_typed_leave_no_trace(
    fab: Fab, site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    # The page is answered 200 here, and the configuration is cached as PHP.
    shell(sandbox, f"sed -i 's/^salt = /multi_server_environment = 1\\nmaintenance_mode = \"0\" ; "
          f"mine\\nsalt = /' {CONFIG}; echo '<?php $GLOBALS[\"ENABLE_CONFIG_PHP_CACHE\"] = true;' "
          "> /var/www/html/bootstrap.php")  # fmt: skip
    before = shell(sandbox, f"stat -c '%U %G %a' {CONFIG}; cat {CONFIG}")
    assert page(sandbox) == "200"
    cached = shell(sandbox, "find /var/www/html/tmp -path '*cache/tracker/config.ini.php'")
    assert cached, "the cache is in use"
    found = {"on": False, "value": "0", "raw": '"0"'}
    Outage(site_factory()).remember("maintenance", found)  # as if killed before the switch
    on = fab("maintenance.on")
    assert on.code == 0, on.all
    assert "200 maintenance page: analytics.example.org (public)" in on.out
    assert f"a marker arrives in {LOG}" in on.out and "the file as it was: /var/lib/" in on.out
    assert page(sandbox) == "200 closed"
    changed = shell(sandbox, f"stat -c '%U %G %a' {CONFIG}; cat {CONFIG}")
    assert changed == before.replace('mode = "0" ; mine', 'mode = "1" ; mine')
    off = run(MaintenanceOff(site_factory(), silent))
    assert off.status == DONE and "the UI answers: 200 Matomo's UI" in off.detail, off.detail
    assert shell(sandbox, f"stat -c '%U %G %a' {CONFIG}; cat {CONFIG}") == before
    assert page(sandbox) == "200"


def test_a_health_check_that_would_fail_is_found_first(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    shell(sandbox, "curl -sA 'ELB-HealthChecker/2.0' http://127.0.0.1/ http://127.0.0.1/matomo.js "
          "-o /dev/null -o /dev/null")  # fmt: skip
    site = site_factory()
    refused = run(MaintenanceOn(site, silent))
    assert refused.error is not None and refused.error.code == 3
    assert "ELB-HealthChecker/2.0 asks GET / for a health check" in refused.detail
    assert "multi_server_environment = 1" in refused.detail
    look = MaintenanceOn(site, silent, despite_health_check=True).look()
    assert [note for note in look.notes if "will be answered 503" in note]
    assert [note for note in look.notes if "/matomo.js, answered 200 now" in note]


def test_on_by_another_hand_stays_on_unless_forced(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    shell(sandbox, f"sed -i 's/^salt = /maintenance_mode = true\\nsalt = /' {CONFIG}")
    site = site_factory()
    refused = run(MaintenanceOff(site, silent))
    assert refused.error is not None and "not by this outage" in refused.detail
    assert run(MaintenanceOn(site, silent)).status == DONE
    assert Outage(site).found("maintenance")["on"] is True
    assert not MaintenanceOn(site, silent).look().actions
    left = run(MaintenanceOff(site, silent))
    assert "stays on" in left.detail and Outage(site).found("maintenance") is None
    forced = run(MaintenanceOff(site, silent, force=True))
    assert forced.status == DONE, forced.detail
    assert "maintenance_mode = 0" in shell(sandbox, f"cat {CONFIG}")


@pytest.mark.parametrize("why", ["another configuration", "no more log lines"])
def test_taken_back_where_it_does_not_hold(
    site_factory: SiteFactory, sandbox: Sandbox, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "PATIENT", 1.0)
    if why == "another configuration":  # for that name Matomo does not read config.ini.php
        shell(sandbox, f"cp -a {CONFIG} /var/www/html/config/analytics.example.org.config.ini.php")
        words = "the maintenance page is not shown: 200 Matomo's UI: analytics.example.org (public)"
    else:
        log_as(sandbox, '    CustomLog "${APACHE_LOG_DIR}/access.log" combined '
               f"\"expr=!(file('{CONFIG}') =~ /maintenance_mode = 1/)\"")  # fmt: skip
        words = f"requests to the tracker no longer arrive in {LOG}"
    before = shell(sandbox, f"cat {CONFIG}")
    site = site_factory()
    outcome = run(MaintenanceOn(site, silent))
    assert outcome.status == FAILED and outcome.error is not None and outcome.error.code == 1
    assert words in outcome.detail and "taken back at once" in outcome.detail, outcome.detail
    assert shell(sandbox, f"cat {CONFIG}") == before
    assert Outage(site).found("maintenance") is None
    assert {each["kind"] for each in witness.ui(site)} == {witness.UI}
