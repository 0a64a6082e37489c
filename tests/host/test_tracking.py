"""``tracking.off`` and ``.on`` on the real host: the edges, to the byte and to the hit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from matops.runbook.engine import ALREADY, DONE
from matops.runbook.outage import Outage
from matops.runbook.tracking import TrackingOff, TrackingOn
from tests.conftest import Fab, SiteFactory
from tests.host import queue_kit
from tests.host.switch_kit import CONFIG, LOG, keep, log_as, put_back, run, shell, silent
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def kept(sandbox: Sandbox) -> Iterator[None]:
    """The configuration, Apache's and its log, as they were; no hit of ours left."""
    keep(sandbox)
    last = visits(sandbox)
    yield
    put_back(sandbox)
    for table in ("log_visit", "log_link_visit_action"):
        sandbox.sql(f"delete from matomo.matomo_{table} where idvisit > {last}")


def visits(sandbox: Sandbox) -> int:
    """The newest visit's number."""
    return int(sandbox.sql("select max(idvisit) from matomo.matomo_log_visit")[0][0])


def hit(sandbox: Sandbox, name: str) -> str:
    """One page view of a new visitor; its status."""
    visitor = name.encode().hex()[:16].ljust(16, "0")
    url = (
        f"http://127.0.0.1/matomo.php?idsite=1&rec=1&_id={visitor}&cid={visitor}"
        f"&action_name={name}&url=http%3A%2F%2Fx%2F{name}"
    )
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' -A '{agent}' -H 'Host: analytics.example.org'"
    return shell(sandbox, f"{ask} '{url}'")


def test_off_and_on_as_typed_mark_both_edges(
    fab: Fab, site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    shell(sandbox, f"printf '[Tracker]\\nrecord_statistics = 1 ; mine' >> {CONFIG}")
    before, last = shell(sandbox, f"cat {CONFIG}"), visits(sandbox)
    assert hit(sandbox, "early") == "200"
    off = fab("tracking.off", "--json")
    assert off.code == 0, off.all
    assert "503 off: analytics.example.org (public)" in json.loads(off.out)["steps"][0]["detail"]
    assert hit(sandbox, "gap") == "503" and visits(sandbox) == last + 1
    edge = Outage(site_factory()).noted("edge.off")
    assert edge["last_hit"]["visit"]["idvisit"] == last + 1 and edge["last_hit"]["settled"]
    assert 0 <= edge["at"]["after"] - edge["at"]["before"] < 0.5
    assert abs(edge["clock"] - edge["clock_db"]) < 0.5 and edge["server"]
    for mark, nonce in ((edge["marker_before"]["logs"][0], edge["marker_before"]["nonce"]),
                        (edge["logs"][0], edge["marker"])):  # fmt: skip
        assert mark["path"] == LOG and mark["how"] == "query"
        assert int(shell(sandbox, f"stat -c %i {LOG}")) == mark["inode"]
        line = shell(sandbox, f"tail -c +{mark['offset'] + 1} {LOG} | head -1")
        assert f"matops_check={nonce}" in line and mark["stamp"] in line
    between = shell(sandbox, f"head -c {edge['logs'][0]['offset']} {LOG}")
    assert "early" in between and "gap" not in between
    on = run(TrackingOn(site_factory(), silent, prove_site=1))
    assert on.status == DONE, on.detail
    assert f"a hit to site 1 was recorded as visit {last + 2}" in on.detail
    assert hit(sandbox, "late") == "200" and visits(sandbox) == last + 3
    assert shell(sandbox, f"cat {CONFIG}") == before
    assert not TrackingOn(site_factory(), silent).look().actions


def test_killed_between_switch_and_mark_the_next_run_marks(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    site = site_factory()
    began = time.time()
    outage = Outage(site)
    outage.remember("tracking", {"off": False, "raw": None})
    outage.note("edge.off", {"at": {"before": began, "after": None}, "server": "x"})
    shell(sandbox, f"sed '$a[Tracker]\\nrecord_statistics = 0' {CONFIG} > /tmp/c && "
          f"chown www-data /tmp/c && mv /tmp/c {CONFIG}")  # fmt: skip
    done = run(TrackingOff(site, silent))
    assert done.status == DONE, done.detail
    edge = outage.noted("edge.off")
    assert edge["at"]["from"] == "ctime" and began <= edge["at"]["after"] <= time.time()
    assert edge["logs"] and run(TrackingOff(site, silent)).status == ALREADY
    # The migration is not done: hits would be answered 400.
    sandbox.sql("update matomo.matomo_option set option_value = '5.2.0' "
                "where option_name = 'version_core'")  # fmt: skip
    try:
        refused = run(TrackingOn(site, silent))
        assert refused.error is not None and refused.error.code == 3
        assert "the database is 5.2.0" in refused.detail
    finally:
        sandbox.sql(f"update matomo.matomo_option set option_value = '{site.version}' "
                    "where option_name = 'version_core'")  # fmt: skip


def test_off_by_another_hand_stays_off(site_factory: SiteFactory, sandbox: Sandbox) -> None:
    shell(sandbox, f"printf '\\n[Tracker]\\nrecord_statistics = no\\n' >> {CONFIG}")
    site = site_factory()
    refused = run(TrackingOn(site, silent))
    assert refused.error is not None and "not by this outage" in refused.detail
    assert run(TrackingOff(site, silent)).status == DONE
    assert Outage(site).noted("edge.off")["found_off"] is True
    assert "stays off" in run(TrackingOn(site, silent)).detail
    assert "record_statistics = no" in shell(sandbox, f"cat {CONFIG}")


def test_refused_where_hits_would_be_lost(site_factory: SiteFactory, sandbox: Sandbox) -> None:
    before = shell(sandbox, f"cat {CONFIG}")
    log_as(sandbox, '    CustomLog "${APACHE_LOG_DIR}/access.log" '
           '"%h %l %u %t \\"%m %U %H\\" %>s %b \\"-\\" \\"%{User-Agent}i\\""')  # fmt: skip
    site = site_factory()
    refused = run(TrackingOff(site, silent))
    assert refused.error is not None and refused.error.code == 3
    assert f"no query strings are logged in {LOG}" in refused.detail
    notes = TrackingOff(site, silent, lose_hits=True).look().notes
    assert "are lost (--lose-hits)" in notes[0]
    assert shell(sandbox, f"cat {CONFIG}") == before


def test_refused_while_a_queue_is_enabled(site_factory: SiteFactory, sandbox: Sandbox) -> None:
    queue_kit.install(sandbox)
    try:
        refused = run(TrackingOff(site_factory(), silent))
        assert refused.error is not None and refused.error.code == 3
        assert "the queue is enabled, 0 request sets wait in it" in refused.detail
    finally:
        sandbox.reset()
        keep(sandbox)
