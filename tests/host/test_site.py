"""The installation found by looking; the agent; the lock in its database."""

from __future__ import annotations

import html
from typing import Any

import pytest

from matops.errors import Locked, MatopsError, PrivilegeMissing, Refused
from matops.host.agent import build
from matops.host.jobs import new_name
from matops.matomo.site import Site
from matops.runbook import hold as runbook_hold
from matops.runbook import journal
from matops.runbook.engine import Run, run_steps
from matops.runbook.follow import Detached
from matops.runbook.hold import Hold
from matops.runbook.step import Action, Evidence, Look, Step
from matops.settings import Settings
from tests.conftest import SiteFactory
from tests.sandbox import Sandbox


@pytest.mark.parametrize("user", ["ops", "ops2", "root"])
def test_found_without_any_setting(site_factory: SiteFactory, sandbox: Sandbox, user: str) -> None:
    site = site_factory(user)
    assert site.docroot == sandbox.docroot
    assert site.version == sandbox.installed_version
    assert site.web_user == "www-data"
    assert site.prefix == "matomo_"
    assert site.database_is_local
    assert site.state_dir.startswith("/var/lib/matops/matomo-matomo-")
    assert site.facts["php"]["version"].startswith("8.")


def test_no_secret_comes_with_the_facts(site_factory: SiteFactory, sandbox: Sandbox) -> None:
    config = sandbox.exec("cat", f"{sandbox.docroot}/config/config.ini.php").stdout
    password = next(x.split('"')[1] for x in config.splitlines() if x.startswith("password"))
    salt = next(x.split('"')[1] for x in config.splitlines() if x.startswith("salt"))
    text = repr(site_factory().probe)
    assert password not in text and salt not in text


def test_an_account_that_may_not_read_the_config(site_factory: SiteFactory) -> None:
    with pytest.raises(PrivilegeMissing, match=r"config.ini.php cannot be read .*0640"):
        site_factory("nosudo")


def test_wrong_docroot_is_said(site_factory: SiteFactory) -> None:
    with pytest.raises(MatopsError, match="no Matomo found in /srv/x"):
        site_factory(settings=Settings(docroot="/srv/x"))


def test_two_installations_are_not_guessed(site_factory: SiteFactory, sandbox: Sandbox) -> None:
    sandbox.exec("sh", "-c", "mkdir -p /var/www/matomo/core && cp /var/www/html/core/Version.php "
                 "/var/www/matomo/core/")  # fmt: skip
    try:
        with pytest.raises(Refused, match="more than one Matomo"):
            site_factory()
    finally:
        sandbox.exec("rm", "-rf", "/var/www/matomo")


def test_the_agent_is_the_same_bytes_each_time_and_small() -> None:
    first = build()
    build.cache_clear()
    assert first == build()
    assert len(first) < 6 << 20


def test_the_agent_is_uploaded_once_and_owned_by_root(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    sandbox.exec("rm", "-rf", "/var/lib/matops/agent")
    site = site_factory()
    site.ask("matomo.lock:status")
    stat = sandbox.exec("stat", "-c", "%U %a %Y", site.agent.path).stdout
    assert stat.startswith("root 755")
    site_factory().ask("matomo.lock:status")
    assert sandbox.exec("stat", "-c", "%U %a %Y", site.agent.path).stdout == stat


def test_errors_of_the_far_end_keep_their_code(site_factory: SiteFactory, sandbox: Sandbox) -> None:
    site = site_factory()
    sandbox.service("mariadb", "stop")
    try:
        with pytest.raises(MatopsError) as caught:
            site.ask("matomo.lock:status")
        assert "cannot be reached" in caught.value.line()
        assert caught.value.host == sandbox.name
    finally:
        sandbox.service("mariadb", "start")


def test_one_run_at_a_time_and_the_fence_grows(site_factory: SiteFactory) -> None:
    one, two = site_factory(), site_factory("ops2")
    with Hold(one, "prep") as first:
        with pytest.raises(Locked) as caught, Hold(two, "check"):
            pass
        assert caught.value.code == 75
        assert "prep" in caught.value.line() and "heartbeat" in caught.value.line()
        first.check()
    with Hold(two, "check") as second:
        assert second.fence == first.fence + 1
        with pytest.raises(Refused, match="taken over"):
            first.check()


def _leave_lock(site: Site, owner: dict[str, Any]) -> int:
    answer = site.ask("matomo.lock:take", owner=owner)
    assert answer["taken"]
    return int(answer["lock"]["fence"])


def test_a_dead_run_of_mine_is_resumed(site_factory: SiteFactory) -> None:
    site = site_factory()
    dead = {**runbook_hold.identity("prep", "x"), "pid": 2**22 - 3, "started": "12345"}
    fence = _leave_lock(site, dead)
    with Hold(site, "prep") as again:
        assert again.fence == fence
        assert "resuming" in again.note


def test_a_stale_lock_is_explained_and_taken_over_on_request(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    site = site_factory()
    stranger = {**runbook_hold.identity("prep", "x"), "machine": "laptop-7", "user": "ann"}
    fence = _leave_lock(site, stranger)
    with pytest.raises(Locked, match="ann@laptop-7"), Hold(site, "prep", take_over=True):
        pass  # fresh: not even on request
    old = site_factory(settings=Settings(lock_stale_after=0))
    with pytest.raises(Locked, match="--take-over"), Hold(old, "prep"):
        pass
    with Hold(old, "prep", take_over=True) as mine:
        assert mine.fence == fence + 1


def _job(site: Site, name: str, command: str) -> None:
    assert site.jobs.start(name, command, user="www-data")


def test_a_dead_run_of_mine_is_not_resumed_while_its_job_runs(site_factory: SiteFactory) -> None:
    site = site_factory()
    dead = {**runbook_hold.identity("logs.delete", "x"), "pid": 2**22 - 3, "started": "12345"}
    fence = _leave_lock(site, dead)
    name = new_name("logs.delete")
    job = {"name": name, "machine": site.machine["hostname"]}
    assert site.ask("matomo.lock:beat", fence=fence, job=job)
    _job(site, name, "sleep 20")
    with (
        pytest.raises(Locked, match=r"its job logs\.delete.* runs here"),
        Hold(site, "archive.purge"),
    ):
        pass
    with Hold(site, "logs.delete", attaches=["logs.delete"]) as again:
        assert again.fence == fence, "it will attach to that very job"
        again.keep = True
    site.jobs.stop(name, 3)
    lock = site.ask("matomo.lock:status")["lock"]
    assert lock["owner"] and lock["fence"] == fence, "kept: something may still be at work"
    site.ask("matomo.lock:release", fence=fence)


def test_a_job_on_another_host_cannot_be_seen_from_here(site_factory: SiteFactory) -> None:
    site = site_factory()
    dead = {**runbook_hold.identity("prep", "x"), "pid": 2**22 - 3, "started": "12345"}
    fence = _leave_lock(site, dead)
    site.ask("matomo.lock:beat", fence=fence, job={"name": "a.1", "machine": "web2"})
    with pytest.raises(Locked, match=r"its job a\.1 on web2 may still run"), Hold(site, "prep"):
        pass
    with Hold(site, "prep", take_over=True) as mine:
        assert mine.fence == fence


def test_leaving_a_job_keeps_the_lock(site_factory: SiteFactory) -> None:
    class Leaving(Step):
        name = "leaving"

        def look(self) -> Look:
            return Look([Action("start", "test")])

        def act(self, action: Action) -> None:
            name = new_name("leaving")
            self.still_ours(name)
            _job(self.site, name, "sleep 3")
            raise Detached("stopped watching")

        def verify(self) -> Evidence:
            raise AssertionError

    site = site_factory()
    book = journal.Journal(site, "run.1", "me")
    with Hold(site, "leaving") as hold:
        run = Run(site, lambda line: None, book, hold)
        [outcome] = run_steps([Leaving(site, lambda line: None)], run)
    assert outcome.error and outcome.error.code == 4
    lock = site.ask("matomo.lock:status")["lock"]
    assert lock["owner"] and lock["job"]["name"].startswith("leaving.")
    site.ask("matomo.lock:release", fence=lock["fence"])


def test_the_journal_is_appended_and_read_back(site_factory: SiteFactory) -> None:
    site = site_factory()
    book = journal.Journal(site, "run.1", "ann@laptop")
    book.write("a.step", "started", 3, actions=["it's"])
    book.write("a.step", "done", 3, evidence="seen")
    last = [entry for entry in journal.read(site) if entry.step == "a.step"][-2:]
    assert [entry.event for entry in last] == ["started", "done"]
    assert last[0].facts == {"actions": ["it's"]} and last[0].fence == 3
    mode = site.host.run(f"stat -c %a {site.state_dir}/journal.jsonl", user="root").text
    assert mode == "600\n"


PASSWORD = 'p"ä€&lt5%q;x'


def test_database_passwords_as_matomo_writes_them(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    config = f"{sandbox.docroot}/config/config.ini.php"
    before = sandbox.exec("cat", config).stdout
    old = next(x.split('"')[1] for x in before.splitlines() if x.startswith("password"))
    accounts = ("localhost", "127.0.0.1")
    try:
        for host in accounts:
            sandbox.sql(
                f"set names utf8mb4; set password for matomo@'{host}' = password('{PASSWORD}')"
            )
        written = html.escape(PASSWORD)
        changed = before.replace(f'password = "{old}"', f'password = "{written}"')
        sandbox.exec("tee", config, input=changed.encode())
        php = sandbox.exec("php", f"{sandbox.docroot}/console", "customdimensions:info",
                           user="www-data", check=False)  # fmt: skip
        assert php.returncode == 0, "Matomo itself gets in: " + php.stdout
        assert site_factory().ask("matomo.lock:status")["lock"]
    finally:
        for host in accounts:
            sandbox.sql(f"set password for matomo@'{host}' = password('{old}')")
        sandbox.exec("tee", config, input=before.encode())


def test_localhost_is_the_unix_socket_as_in_php(
    site_factory: SiteFactory, sandbox: Sandbox
) -> None:
    config = f"{sandbox.docroot}/config/config.ini.php"
    before = sandbox.exec("cat", config).stdout
    sandbox.sql("rename user matomo@'127.0.0.1' to matomo_away@'127.0.0.1'")
    sandbox.exec("sed", "-i", 's/^host = .*/host = "localhost"/', config)
    try:
        assert site_factory().ask("matomo.lock:status")["lock"]
    finally:
        sandbox.exec("tee", config, input=before.encode())
        sandbox.sql("rename user matomo_away@'127.0.0.1' to matomo@'127.0.0.1'")
