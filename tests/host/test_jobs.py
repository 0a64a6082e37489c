"""Jobs on the real host: at most once, through cut links, kill -9, stop, Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from matops.errors import OutcomeUnknown, Refused, UsageError
from matops.host import jobs as host_jobs
from matops.host.jobs import Jobs
from matops.host.ssh import SshLink
from matops.runbook.follow import Detached, follow
from tests.conftest import HostFactory
from tests.sandbox import Sandbox

FOLDER = "/var/lib/matops-test/jobs"


@pytest.fixture
def jobs(host_factory: HostFactory) -> Iterator[Jobs]:
    host = host_factory()
    yield Jobs(host, FOLDER)
    host.run("rm -rf /var/lib/matops-test", user="root")


def test_runs_as_its_user_in_its_folder_with_closed_stdin(jobs: Jobs) -> None:
    name = host_jobs.new_name("who")
    assert jobs.start(name, 'id -un; pwd; cat; echo "it\'s"', user="www-data", folder="/var/www")
    seen: list[str] = []
    job = follow(jobs, name, seen.append)
    assert (job.state, job.code) == (host_jobs.DONE, 0)
    assert "".join(seen) == "www-data\n/var/www\nit's\n"
    assert job.label == "who" and job.started and job.ended


def test_starts_at_most_once(jobs: Jobs) -> None:
    assert jobs.start("once.1", "echo ran >> /tmp/once; sleep 1", user="root")
    assert not jobs.start("once.1", "echo ran >> /tmp/once", user="root")
    follow(jobs, "once.1", lambda text: None)
    assert jobs.host.run("wc -l < /tmp/once; rm -f /tmp/once", user="root").text == "1\n"


def test_exit_code_and_list(jobs: Jobs) -> None:
    jobs.start("bad.1", "echo so; exit 9", user="root")
    job = follow(jobs, "bad.1", lambda text: None)
    assert (job.state, job.code) == (host_jobs.FAILED, 9)
    assert [j.name for j in jobs.list("bad")] == ["bad.1"]
    assert jobs.latest("bad") == jobs.list()[-1]
    with pytest.raises(UsageError, match="no job 'nope'"):
        jobs.poll("nope")
    with pytest.raises(UsageError, match="not the name"):
        jobs.poll("../../etc")


def test_goes_on_while_the_link_is_cut_and_is_followed_again(jobs: Jobs, sandbox: Sandbox) -> None:
    jobs.start("long.1", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.7; done", user="www-data")
    link = jobs.host.link
    assert isinstance(link, SshLink)
    before = link.open()
    threading.Timer(1.2, sandbox.kill_ssh_sessions).start()
    seen: list[str] = []
    job = follow(jobs, "long.1", seen.append)
    assert job.code == 0
    text = "".join(seen)
    assert link.open() is not before, "the link was cut"
    assert [line for line in text.split() if line.isdigit()] == list("123456")


def test_kill_9_of_a_job_is_lost_not_failed(jobs: Jobs) -> None:
    jobs.start("gone.1", "exec sleep 30", user="root")
    jobs.host.run(f"kill -9 $(cat {FOLDER}/gone.1/pid)", user="root")
    with pytest.raises(OutcomeUnknown, match="without an exit code"):
        follow(jobs, "gone.1", lambda text: None)
    assert jobs.poll("gone.1").job.state == host_jobs.LOST


def test_stop_ends_children_that_left_their_parent_too(jobs: Jobs) -> None:
    jobs.start("stop.1", "(sleep 61 &) ; sleep 62", user="www-data")
    time.sleep(0.5)
    job = jobs.stop("stop.1", grace=5)
    assert (job.state, job.code) == (host_jobs.FAILED, 143)
    assert jobs.host.run("pgrep -f 'sleep 6[12]'", check=False).code == 1
    with pytest.raises(Refused, match="not running"):
        jobs.stop("stop.1")


def test_stop_kills_what_ignores_term(jobs: Jobs) -> None:
    jobs.start("hard.1", "trap '' TERM; while :; do sleep 1; done", user="www-data")
    time.sleep(0.3)
    assert jobs.stop("hard.1", grace=2).state in (host_jobs.LOST, host_jobs.FAILED)


def test_ctrl_c_detaches_and_the_job_goes_on(jobs: Jobs) -> None:
    jobs.start("stay.1", "echo begin; sleep 3; echo end", user="root")

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Detached) as caught:
        follow(jobs, "stay.1", interrupt)
    assert caught.value.code == 4
    assert "jobs.follow stay.1" in caught.value.line()
    assert follow(jobs, "stay.1", lambda text: None).code == 0


def test_a_large_log_comes_in_pieces(jobs: Jobs) -> None:
    jobs.start("loud.1", "seq 1 60000", user="root")
    seen: list[str] = []
    follow(jobs, "loud.1", seen.append)
    assert "".join(seen).split() == [str(i) for i in range(1, 60001)]


def test_the_log_is_private(jobs: Jobs) -> None:
    jobs.start("private.1", "true", user="www-data")
    follow(jobs, "private.1", lambda text: None)
    found = jobs.host.run(f"stat -c %a {FOLDER} {FOLDER}/private.1/log", user="root").text
    assert found.split() == ["700", "600"]
