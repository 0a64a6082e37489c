"""logs.replay on a real Matomo: each hit once, at its own time, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from matops.errors import Refused
from matops.matomo.site import Site
from matops.runbook.replay import Replay, Voices
from matops.runbook.replay_asked import Asked
from matops.settings import Settings
from tests.conftest import ROOT, Fab, SiteFactory, one_line
from tests.host import queue_kit
from tests.host import replay_kit as kit
from tests.sandbox import Sandbox

FAST = ("--max-load", "0")


def test_odd_hits_and_plain_ones(fab: Fab, pristine: Sandbox, site_factory: SiteFactory) -> None:
    gap = kit.Gap("odd", kit.hours_ago(30))
    gap.pages(150)
    fates = kit.hostile(gap, 150)
    path = gap.place(pristine)
    plan = fab("logs.replay", "--file", path, "--dry-run")
    assert plan.code == 0 and "around" not in plan.out and "maintenance_mode is off" in plan.out
    assert not kit.numbers(pristine, "odd")
    trial = fab("logs.replay", "--file", path, "--sites", "2", *FAST)
    assert trial.code == 0, trial.all
    assert set(kit.numbers(pristine, "odd")) == {
        n for n in range(160) if n % 2 and not fates.get(n)
    }
    ran = fab("logs.replay", "--file", path, *FAST)
    assert ran.code == 0, ran.all
    found = kit.numbers(pristine, "odd")
    assert found == {n: 1 for n in range(160) if not fates.get(n)}
    assert kit.out_of_order(pristine, "odd") == 0 and kit.tokens(pristine) == 0
    for fate in fates.values():
        assert fate == "none" or fate in trial.all + ran.all, fate
    again = fab("logs.replay", "--file", path)
    assert again.code == 0 and "already done" in again.out
    _what_the_database_has_is_not_sent(fab, pristine, gap.begin)
    times = pristine.sql(
        "SELECT MIN(UNIX_TIMESTAMP(server_time)), MAX(UNIX_TIMESTAMP(server_time)) FROM"
        " matomo.matomo_log_link_visit_action l JOIN matomo.matomo_log_action a ON"
        " a.idaction = l.idaction_url WHERE a.name LIKE '%/r/odd/%'"
    )
    assert [int(float(t)) for t in times[0]] == [int(gap.begin), int(gap.begin + 149 * 0.05)]
    _stops_where_nothing_is_recorded(fab, site_factory(settings=Settings()), pristine)


def _what_the_database_has_is_not_sent(fab: Fab, sandbox: Sandbox, begin: float) -> None:
    """The ledgers are lost, and the gap is cut anew: another file, with one hit more."""
    sandbox.exec("sh", "-c", "rm /var/lib/matops/*/replay/*")
    before, gap = kit.numbers(sandbox, "odd"), kit.Gap("odd", begin)
    gap.pages(150)
    gap.add(gap.page(160), at=7.4)
    path = gap.place(sandbox)
    sandbox.exec("sh", "-c", "umask 077; echo 0123456789abcdef > /var/lib/matops/token")
    ran = fab("logs.replay", "--file", path, "--token-file", "/var/lib/matops/token", *FAST)
    assert ran.code == 3 and "is not known to Matomo" in ran.all
    ran = fab("logs.replay", "--file", path, *FAST)
    assert ran.code == 0 and "150 hits are in the database already" in ran.all, ran.all
    assert "151 of 151 hits settled (150 were recorded before)" in ran.out, ran.all
    assert kit.numbers(sandbox, "odd") == {**before, 160: 1}


def _stops_where_nothing_is_recorded(fab: Fab, site: Site, sandbox: Sandbox) -> None:
    gap, late = kit.Gap("off", kit.hours_ago(2)), kit.Gap("late", time.time() + 3600)
    gap.pages(3)
    late.pages(3)
    path = gap.place(sandbox)
    config = "/var/www/html/config/config.ini.php"
    sandbox.exec("sh", "-c", f"printf '\\n[Tracker]\\nrecord_statistics = 0\\n' >> {config}")
    ran = fab("logs.replay", "--file", path)
    assert ran.code == 3 and "record_statistics is 0" in one_line(ran)
    for wrong, words in ((late.place(sandbox), "in the future"), ("/nowhere.gap", "no gap file")):
        voices = Voices(lambda *a: None, lambda line: None)
        with pytest.raises(Refused, match=words):
            Replay(site, lambda line: None, Asked(wrong), voices).look()


def _kill(sandbox: Sandbox, pattern: str) -> None:
    sandbox.exec("pkill", "-KILL", "-f", pattern, check=False)


def _until(sandbox: Sandbox, run: str, count: int) -> None:
    until = time.monotonic() + 60
    while len(kit.numbers(sandbox, run)) < count:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_killed_in_the_middle_each_hit_is_there_once(fab: Fab, pristine: Sandbox) -> None:
    gap = kit.Gap("kill", kit.hours_ago(27))
    gap.pages(320)
    path = gap.place(pristine)
    words = fab.command("logs.replay", "--file", path, "--rate", "100", "--batch", "30", *FAST)
    for count in (30, 90):  # ours, twice
        process = subprocess.Popen(words, cwd=ROOT, env=fab.environment(), text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)  # fmt: skip
        _until(pristine, "kill", count)
        _kill(pristine, "[l]ogs.replay --file")
        out = process.communicate(timeout=60)[0]
        assert process.returncode in (1, 4), out
    process = subprocess.Popen([*words, "--json"], cwd=ROOT, env=fab.environment(), text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    _until(pristine, "kill", 150)
    _kill(pristine, "[a]pache2 -k")
    time.sleep(1)
    pristine.service("apache2", "start")
    _until(pristine, "kill", 220)
    _kill(pristine, "[m]ariadbd")
    time.sleep(1)
    pristine.service("mariadb", "start")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert kit.numbers(pristine, "kill") == dict.fromkeys(range(320), 1)
    assert kit.out_of_order(pristine, "kill") == 0 and kit.tokens(pristine) == 0
    step = json.loads(out)["steps"][0]
    assert "320 of 320 hits settled" in step["detail"] and "holds 320" in step["detail"]
    secret = pristine.exec("sh", "-c", "cat /var/lib/matops/*/replay/* /var/lib/matops/*/jobs/*/*",
                           check=False).stdout  # fmt: skip
    assert "token_auth" not in secret


def test_around_the_queue(fab: Fab, pristine: Sandbox) -> None:
    queue_kit.install(pristine, processDuringTrackingRequest=0)
    gap = kit.Gap("queue", kit.hours_ago(3))
    gap.pages(40)
    ran = fab("logs.replay", "--file", gap.place(pristine), *FAST)
    assert ran.code == 0 and "around the queue" in ran.out, ran.all
    assert kit.numbers(pristine, "queue") == dict.fromkeys(range(40), 1)
    assert queue_kit.depth(pristine) == 0


SCRIPT = os.environ.get("MATOPS_IMPORT_LOGS", "")


@pytest.mark.skipif(not SCRIPT, reason="MATOPS_IMPORT_LOGS names no import_logs.py")
def test_import_logs_is_fed_and_what_it_loses_is_sent(fab: Fab, pristine: Sandbox) -> None:
    none = fab("logs.replay", "--how", "import_logs", "--file", kit.Gap("n", 1e9).place(pristine))
    assert none.code == 3 and "cannot be read" in one_line(none)
    folder = "/var/www/html/misc/log-analytics"
    pristine.exec("sh", "-c", f"mkdir -p {folder}; cat > {folder}/import_logs.py",
                  input=Path(SCRIPT).read_bytes())  # fmt: skip
    gap = kit.Gap("script", kit.hours_ago(30))
    gap.pages(120)
    fates = kit.hostile(gap, 120)
    gap.add(gap.page(130), at=3, agent=b"Mozilla/5.0 (feed reader) Firefox/128.0")  # it drops that
    ran = fab("logs.replay", "--how", "import_logs", "--file", gap.place(pristine))
    assert ran.code == 0, ran.all
    assert "were missing and sent again" in ran.out
    found = kit.numbers(pristine, "script")
    assert found == {n: 1 for n in range(131) if not fates.get(n)}
    assert kit.tokens(pristine) == 0
