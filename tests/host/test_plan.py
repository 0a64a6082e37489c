"""plan and notify.* on the real host, as typed."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from matops.errors import MatopsError, Refused
from matops.host.shell import Host
from matops.matomo.rehearsal import CONSOLE, Migration, Rehearsal
from matops.matomo.site import Site, open_site
from matops.report import plan as report
from matops.runbook import check, notices
from matops.runbook import plan as planning
from matops.runbook.checks.result import Facts
from matops.runbook.notices import KINDS, Window
from matops.runbook.notify import PERHAPS, Sender
from matops.settings import Settings
from matops.units import utc_now
from tests.conftest import Fab, connection
from tests.sandbox import Sandbox

START = "2099-12-01 22:00 Europe/Berlin"
V = "ALTER TABLE `matomo_log_visit` "
STATEMENTS = (  # of the real update to 5.8.0, and slower ones beside them
    "ALTER TABLE `matomo_user` ADD COLUMN `ts_last_seen` TIMESTAMP null DEFAULT null;",
    "UPDATE `matomo_user` u SET u.ts_last_seen = NOW();",
    "./console core:invalidate-report-data --dates=2026-11-22,today --plugin=Referrers",
    "CREATE TABLE `matomo_archiving_metrics` (`metadataid` BIGINT UNSIGNED NOT NULL);",
    "./console config:set 'General.proxy_scheme_headers=[]'",
    V + "ADD COLUMN `ai_agent_name` VARCHAR(40) NULL;",
    V + "MODIFY COLUMN `visit_total_time` BIGINT UNSIGNED NOT NULL;",
)
SENDMAIL = """#!/bin/sh
echo "$@" >> /tmp/sendmail.words; cat >> /tmp/sendmail.mails
"""


def rehearsal(*more: str) -> Rehearsal:
    """What rehearse leaves, without its ten seconds."""
    found = [
        Migration(i, len(STATEMENTS), text, CONSOLE if "console" in text else "sql", seconds=0.1)
        for i, text in enumerate((*STATEMENTS, *more), 1)
    ]
    return Rehearsal("5.3.1", "5.8.0", "/nowhere", time.time(), "MariaDB", True, migrations=found)


@dataclasses.dataclass
class Desk:
    """The host's installation, over one connection."""

    sandbox: Sandbox
    site: Site

    @property
    def folder(self) -> str:
        """Its state folder."""
        return self.site.state_dir

    def put(self, made: Rehearsal) -> None:
        """Leaves it there as the last rehearsal."""
        text = json.dumps(dataclasses.asdict(made))
        self.sandbox.exec(
            "sh", "-c", f"umask 077; mkdir -p {self.folder}; cat > {self.folder}/rehearsal.json",
            input=text.encode(),
        )  # fmt: skip


@pytest.fixture(scope="module")
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    from matops.host.ssh import SshLink  # paramiko costs half a second

    host = Host(SshLink(connection(sandbox)))
    yield Desk(sandbox, open_site(host, Settings(), modules=check.MODULES))
    host.close()


def test_plan(fab: Fab, desk: Desk, sandbox: Sandbox) -> None:
    sandbox.exec("rm", "-f", f"{desk.folder}/rehearsal.json")
    with pytest.raises(Refused, match="nothing was rehearsed yet"):
        planning.rehearsed(desk.site)

    desk.put(rehearsal())
    live = sandbox.sql("checksum table matomo.matomo_log_visit, matomo.matomo_user")
    ran = fab("plan", "--login", "root", "--budget", "2s", "--start", START, "--json")
    assert ran.code == 0, ran.all
    found = json.loads(ran.out)
    assert "the staged release is gone" in found["stale"]
    down = {line["number"]: line for line in found["phases"]["down"] if line["number"]}
    quick = {line["number"]: line for line in found["quick"]}
    assert quick[6]["way"] == "instant" and down[7]["way"] == "copy" and down[7]["rows"] > 100
    assert down[3]["time"] is None and any("invalidate" in each for each in found["unknown"])
    assert found["window_seconds"] % 900 == 0 and found["zone"] == "Europe/Berlin"
    holds = {each["name"]: each["status"] for each in found["holds"]}
    assert holds["disk"] == "ok" and "log retention" in holds
    assert sandbox.sql("checksum table matomo.matomo_log_visit, matomo.matomo_user") == live
    assert not sandbox.sql("show databases like 'matops%'")
    assert "600" in sandbox.exec("stat", "-c", "%a", f"{desk.folder}/plan.json").stdout


def planned(site: Site, checked: Facts, **asked: Any) -> planning.Outcome:
    """As the task does it, over one connection."""
    rehearsal, stale = planning.rehearsed(site)
    wanted = planning.Asked(**{"login": "root", "budget": 0.0, **asked})
    facts = planning.collect(site, rehearsal, wanted)
    return planning.make(rehearsal, stale, facts, checked, wanted)


def test_what_fails_what_does_not_hold_and_without_the_grant(desk: Desk) -> None:
    desk.put(rehearsal(V + "DROP COLUMN nosuch, ADD COLUMN b INT NULL;"))
    checked = check.from_site(desk.site)
    refusal = planned(desk.site, checked).refusal("h")
    assert refusal and refusal.code == 3 and "core:update would fail at #8" in refusal.line()
    desk.put(rehearsal())
    full = planned(desk.site, checked, free=1 << 20).refusal("h")
    assert full and full.code == 3 and "disk does not hold the window" in full.line()
    poor = planned(desk.site, checked, login="")
    said = "\n".join(report.lines(poor))
    assert "GRANT ALL PRIVILEGES ON `matops\\_rehearsal" in said and "OUT OF DATE" in said
    assert any("not asked of the server" in line.basis for line in poor.plan.lines)


@pytest.fixture
def sender(desk: Desk) -> Iterator[Callable[..., Sender]]:
    """A notice of an upgrade of its own, with a far end of our own."""
    where = "/usr/local/bin/fake-sendmail"

    def make(kind: str, to_version: str, mailer: str = SENDMAIL) -> Sender:
        desk.sandbox.exec("sh", "-c", f"cat > {where}; chmod 755 {where}", input=mailer.encode())
        settings = dataclasses.replace(
            desk.site.settings, notice_languages=("en", "de"), notice_sendmail=where,
            notice_from="Ops <ops@example.org>", notice_to=("a@example.org", "b@example.org"),
        )  # fmt: skip
        site = dataclasses.replace(desk.site, settings=settings)
        window = Window(utc_now(), 5400, "Europe/Berlin")
        notice = notices.compose(kind, settings, window, "5.3.1", to_version, utc_now())
        return Sender(site, notice, window, "5.3.1", to_version, lambda line: None)

    yield make
    desk.sandbox.exec("rm", "-f", where, "/tmp/sendmail.words", "/tmp/sendmail.mails")


def test_a_notice_goes_out_once(sender: Callable[..., Sender], sandbox: Sandbox) -> None:
    one = sender("announcement", "5.8.0")
    assert len(one.send(one.pending(False))) == 2
    assert sandbox.exec("cat", "/tmp/sendmail.words").stdout == "-t -oi\n-t -oi\n"
    mails = sandbox.exec("cat", "/tmp/sendmail.mails").stdout
    assert "To: a@example.org" in mails and "Subject: Matomo: maintenance" in mails
    with pytest.raises(Refused, match="has gone out already"):
        one.pending(False)
    assert one.pending(True) == ["mail:a@example.org", "mail:b@example.org"]
    assert sender("announcement", "5.9.0").pending(False) == one.pending(True)


def test_what_was_not_taken_is_not_remembered_and_what_may_have_is(
    sender: Callable[..., Sender],
) -> None:
    refuses = '#!/bin/sh\nread x; case "$(cat)" in *b@*) echo full >&2; exit 75;; esac\n'
    half = sender("end", "5.8.0", refuses)
    with pytest.raises(MatopsError, match=r"to b@example.org \(exit code 75\): full"):
        half.send(half.pending(False))
    assert half.pending(False) == ["mail:b@example.org"]
    half._write({"mail:a@example.org": {"state": PERHAPS, "when": 1.0}})  # killed in between
    with pytest.raises(Refused, match="may have gone out already"):
        half.pending(False)


def test_notify_as_typed(fab: Fab, desk: Desk) -> None:
    desk.put(rehearsal())
    fab.configure("notice_languages: [de]\nnotice_service: Web-Statistik\n"
                  "notice_from: o@example.org\nnotice_to: c@example.org")  # fmt: skip
    window = ["--start", START, "--window", "90m"]
    shown = fab("notify.preview", *window)
    assert shown.code == 0, shown.all
    for words in (*KINDS, "Web-Statistik: Wartung am 01.12.2099", "1:30 Stunden",
                  "01.12.2099 22:00 Europe/Berlin (2099-12-01 21:00 UTC)"):  # fmt: skip
        assert words in shown.out
    asked = fab("notify.send", "--kind", "announcement", "--to-version", "9.9", *window)
    assert asked.code == 3 and "not confirmed" in asked.err and "mail:c@example.org" in asked.out
