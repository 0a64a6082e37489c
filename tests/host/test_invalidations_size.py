"""``invalidations.size`` over SSH, on a real Matomo's own queue."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import Fab
from tests.sandbox import Sandbox

TABLE = "matomo.matomo_archive_invalidations"


def size(fab: Fab, *words: str) -> Any:
    ran = fab("invalidations.size", "--sample", "0s", "--json", *words)
    assert ran.code == 0, ran.all
    return json.loads(ran.out)


def console(sandbox: Sandbox, words: str) -> None:
    command = f"cd /var/www/html && php console {words}"
    sandbox.exec("su", "-s", "/bin/sh", "www-data", "-c", command)


def days_with_visits(sandbox: Sandbox) -> tuple[str, str]:
    rows = sandbox.sql(
        "select date(min(visit_last_action_time)), date(max(visit_last_action_time)) "
        "from matomo.matomo_log_visit where idsite = 1"
    )
    return rows[0][0], rows[0][1]


def test_a_queue_of_matomos_own_making(fab: Fab, pristine: Sandbox) -> None:
    sandbox = pristine
    sandbox.reset()  # no archives that another test left marked
    first, last = days_with_visits(sandbox)
    sandbox.sql(f"delete from {TABLE}")
    console(sandbox, f"core:invalidate-report-data --dates={first},{last} --sites=1")
    found = size(fab)
    queued = found["status"]["queued"]
    assert found["exact"] and queued >= 4 and found["duplicates"]["rows"] == 0
    assert found["sites"]["top"] == [{"idsite": 1, "rows": queued, "deleted": False}]
    assert found["periods"]["1"] >= 1 and found["ages"] == {"under 1 hour": queued}
    assert found["archiver"]["running"] is False and found["uncovered"]["total"] == 0
    assert found["pace"]["day"] is not None and found["uncovered"]["looked"] >= 2

    # An archiver that was killed, as it leaves its row.
    sandbox.sql(f"update {TABLE} set status=1, ts_started=now(), processing_host="
                f"'{sandbox.exec('hostname').stdout.strip()}', process_id='4000000' "
                "order by idinvalidation limit 1")  # fmt: skip
    ran = fab("invalidations.size", "--sample", "0s", "--fail-above", "stuck=0")
    assert ran.code == 3 and "stuck 1 > 0" in ran.err, ran.all
    assert "which is not there any more" in ran.out
    assert f"fab -H {sandbox.name} invalidations.reset" in ran.out

    # The rows gone, the archives that Matomo marked invalid are nobody's.
    sandbox.sql(f"delete from {TABLE}")
    found = size(fab)
    bare = found["uncovered"]
    assert bare["total"] >= 2 and bare["sites"][0]["idsite"] == 1
    (advice,) = [one for one in found["verdict"] if one["word"] == "uncovered"]
    assert f"--sites=1{chr(34)}" in advice["command"] and "--dates=20" in advice["command"]
    assert bare["sites"][0]["first"] <= last and bare["sites"][0]["last"] >= first
