"""``logs.gap`` on the real host: a real gap under traffic, to the hit."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matops.accesslog import gapfile
from matops.runbook.engine import DONE
from matops.runbook.tracking import TrackingOff, TrackingOn
from tests.conftest import Fab, SiteFactory, one_line
from tests.e2e import traffic_account
from tests.e2e.traffic import Traffic
from tests.e2e.traffic_hits import SERVER, TRACKING
from tests.host.switch_kit import LOG, keep, put_back, run, shell, silent
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox
HOST = "analytics.example.org"
ROTATE = f"mv {LOG} {LOG}.1 && service apache2 reload"
PACK = f"gzip {LOG}.1"  # later: requests in flight are still written to it


@pytest.fixture(autouse=True)
def kept(sandbox: Sandbox) -> Iterator[None]:
    """The log, the configuration and the database's hits, as they were."""
    keep(sandbox)
    last = sandbox.sql("select max(idvisit) from matomo.matomo_log_visit")[0][0]
    yield
    shell(sandbox, f"rm -rf {LOG}.1* /var/lib/matops/*/gaps /var/lib/matops/*/kept-logs /root/logs")
    put_back(sandbox)
    for table in ("log_visit", "log_link_visit_action", "log_conversion"):
        sandbox.sql(f"delete from matomo.matomo_{table} where idvisit > {last}")


def hits_of(sandbox: Sandbox, path: str, run: str) -> dict[int, gapfile.Hit]:
    """Number => hit, of one traffic; no number may be there twice."""
    found: dict[int, gapfile.Hit] = {}
    for _, hit in gapfile.read(sandbox.root / path.lstrip("/")):
        number = re.search(rf"t%2F{run}%2F(\d+)", hit.query)
        if number:
            assert int(number[1]) not in found
            found[int(number[1])] = hit
    return found


def test_the_gap_holds_every_hit_that_was_not_recorded_and_no_other(
    fab: Fab, site_factory: SiteFactory, sandbox: Sandbox, tmp_path: Path
) -> None:
    traffic = Traffic(sandbox.address, host=HOST, log=tmp_path / "sent", rate=20, ui_rate=0,
                      kinds=(*TRACKING, SERVER), token=sandbox.token)  # fmt: skip
    site = site_factory()
    with traffic:
        time.sleep(1)
        off = run(TrackingOff(site, silent))
        assert off.status == DONE, off.detail
        shell(sandbox, ROTATE)
        on = run(TrackingOn(site, silent))
        assert on.status == DONE, on.detail
        time.sleep(1)  # a line after the end is wanted
    shell(sandbox, PACK)
    ran = fab("logs.gap", "--json")
    assert ran.code == 0, ran.all
    manifest = json.loads(ran.out)["manifest"]
    book = traffic_account.account(sandbox.sql, traffic.run, traffic.answers())
    found = hits_of(sandbox, manifest["merged"]["path"], traffic.run)
    part = next(iter(manifest["servers"].values()))
    # A loaded machine answers 500 now and then, far from the gap: not this gap's.
    lost = [n for n in book.lost if part["low"] <= book.sent[n].sent < part["high"]]
    assert sorted(found) == book.in_logs(lost)
    assert not book.doubled and len(found) > 20
    # A bulk request that the database aborted while tracking was on is a 500, known to the client.
    bodies = {book.sent[n] for n in book.in_bodies(lost) if book.sent[n].status != 500}
    assert part["reasons"]["POST body, held by no log"] >= len(bodies)
    assert sum(part["reasons"].values()) == part["seen"]
    assert part["visitors"]["verdict"] in ("one", "real") and part["decided"]["asked"]
    _stays_out_of_sight(fab, sandbox, manifest)
    _is_done_once(fab, manifest)
    _whole_check_says_the_same(fab, sandbox, manifest, found, traffic.run)
    _is_removed(fab, sandbox, manifest)


def _stays_out_of_sight(fab: Fab, sandbox: Sandbox, manifest: dict[str, object]) -> None:
    """Files 0600; the token of the server's requests in no gap file and no output."""
    folder = str(Path(str(manifest["merged"]["path"])).parent)  # type: ignore[index]
    modes = shell(sandbox, f"stat -c '%a %n' {folder} {folder}/*").splitlines()
    assert modes[0].startswith("700 ") and all(m.startswith("600 ") for m in modes[1:])
    assert sandbox.token not in shell(sandbox, f"cat {folder}/*.gap {folder}/[!t]*.json")
    assert sandbox.token in shell(sandbox, f"cat {folder}/tokens.json")
    assert sandbox.token not in json.dumps(manifest)


def _is_done_once(fab: Fab, manifest: dict[str, object]) -> None:
    again = fab("logs.gap")
    assert again.code == 0 and again.out.count("already done") >= 2, again.all
    assert "to be replayed" in again.out and "LOST: " in again.out


def _whole_check_says_the_same(
    fab: Fab,
    sandbox: Sandbox,
    manifest: dict[str, object],
    found: dict[int, gapfile.Hit],
    name: str,
) -> None:
    ran = fab("logs.gap", "--check", "all", "--json")
    assert ran.code == 0, ran.all
    path = json.loads(ran.out)["manifest"]["merged"]["path"]
    assert sorted(hits_of(sandbox, path, name)) == sorted(found)


def _is_removed(fab: Fab, sandbox: Sandbox, manifest: dict[str, object]) -> None:
    dry = fab("logs.clean")
    assert dry.code == 0 and "kept" in dry.out
    refused = fab("logs.clean", "--now")
    assert refused.code == 3 and "not confirmed" in one_line(refused)
    gone = fab("logs.clean", "--now", "--yes")
    assert gone.code == 0 and "removed" in gone.out, gone.all
    assert not shell(sandbox, "ls /var/lib/matops/*/gaps").strip()


def test_refusals_are_one_line(fab: Fab, sandbox: Sandbox) -> None:
    nothing = fab("logs.gap")
    assert nothing.code == 2 and "no mark of tracking.off" in one_line(nothing)
    old = fab("logs.gap", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z")
    assert old.code == 3 and "no log has lines of" in old.all
    assert "Traceback" not in old.all


def test_shipped_logs_and_retention(fab: Fab, sandbox: Sandbox) -> None:
    """Two servers' logs in a folder; then the rotation removes what we keep."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    begin = 1_762_000_000
    for server in ("web1", "web2"):
        text = "".join(
            f"192.0.2.{n % 200} - - [{time.strftime('%d/%b/%Y:%H:%M:%S', time.gmtime(begin + n))} "
            f'+0000] "GET /matomo.php?idsite=1&rec=1&n={n} HTTP/1.1" 503 43 "-" "{agent}"\n'
            for n in range(0, 900, 2)
        )
        shell(sandbox, f"mkdir -p /root/logs/{server}")
        (sandbox.root / f"root/logs/{server}/access.log").write_text(text)
    span = ("--from", "2025-11-01T12:28:20Z", "--to", "2025-11-01T12:33:20Z")
    ran = fab("logs.gap", *span, "--logs", "/root/logs", "--json")
    assert ran.code == 0, ran.all
    manifest = json.loads(ran.out)["manifest"]
    assert sorted(manifest["servers"]) == ["web1", "web2"]
    assert manifest["merged"]["hits"] == 300
    log = f"{LOG}.1"
    shell(sandbox, f"cp /root/logs/web1/access.log {log}")
    held = fab("logs.retention", "--window", "1d", "--hold")
    assert held.code == 0 and "files are kept in" in held.out, held.all
    shell(sandbox, f"rm {log}")
    ran = fab("logs.gap", *span, "--accept-holes", "--json")
    assert ran.code == 0 and json.loads(ran.out)["manifest"]["merged"]["hits"] == 150, ran.all
    late = fab("logs.retention", "--window", "900d")
    assert late.code == 3 and "would be removed" in one_line(late)
