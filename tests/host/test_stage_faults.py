"""release.stage and what the world does to it: broken servers, zips, disks, links."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matops.errors import MatopsError, Refused
from tests.host.release_kit import STAGES, Asker, clean, mini, server, sha256, signer, stage
from tests.host.release_server import Item, ReleaseServer
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

__all__ = ["clean", "server", "signer", "stage"]  # fixtures


@pytest.mark.parametrize("manner", ["no ranges", "changed", "no etag"])
def test_resuming_never_mixes_two_files(stage: Asker, server: ReleaseServer, manner: str) -> None:
    data = mini(ballast=2_000_000)
    item = Item(data, etag="" if manner == "no etag" else '"1"', cut_at=1_000_000, cuts=1)
    item.ranges = manner != "no ranges"
    server.items = {"/m.zip": item}
    if manner == "changed":
        data = mini(version="5.9.1", ballast=2_100_000)

        def change() -> None:
            while not server.asked("/m.zip"):
                time.sleep(0.02)
            server.items["/m.zip"] = Item(data, etag='"2"')

        threading.Thread(target=change, daemon=True).start()
    asked = stage(release=server.url("/m.zip"), sha256=sha256(data))
    fetch, verify, *_ = asked.look.actions
    asked.step.act(fetch)
    asked.step.act(verify)
    assert "verified: the sha256 given by the operator" in asked.said


def test_missing_release_is_one_line(stage: Asker) -> None:
    with pytest.raises(MatopsError, match=r"matomo-5\.99\.0\.zip: the server answers 404"):
        stage(release="5.99.0")


@pytest.mark.parametrize("trouble", ["checksum", "signature", "stranger"])
def test_a_wrong_release_is_refused_and_put_aside(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, signer: Any, trouble: str
) -> None:
    data = mini()
    server.items = {"/m.zip": Item(data)}
    settings, given = {}, ""
    if trouble == "checksum":
        given = "0" * 64
        match = f"its sha256 is {sha256(data)}, and {given}"
    elif trouble == "signature":
        server.items["/m.zip.asc"] = Item(signer(data + b"other"))
        settings = {"keyring": signer.keyring}
        match = "OpenPGP signature is not good: the file is not what was signed"
    else:
        server.items["/m.zip.asc"] = Item(signer(data))
        settings = {"keyring": "/usr/share/keyrings/debian-archive-keyring.gpg"}
        match = "which is not a pinned one"
    with pytest.raises(Refused, match=match) as caught:
        stage(release=server.url("/m.zip"), sha256=given, settings=settings).run()
    assert caught.value.code == 3
    left = sandbox.exec("sh", "-c", "cd /var/lib/matops/*/downloads; ls; ls -d /var/www/.m* || :")
    assert ("m-" in left.stdout and ".refused" in left.stdout) or trouble == "stranger"
    assert not any(line.endswith(".zip") for line in left.stdout.split())
    assert STAGES not in left.stdout


def test_a_truncated_zip_is_one_line_and_leaves_nothing(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    data = mini(ballast=500_000)[:-300_000]
    server.items = {"/m.zip": Item(data)}
    with pytest.raises(Refused, match="damaged, cut short, or not a zip") as caught:
        stage(release=server.url("/m.zip"), sha256=sha256(data)).run()
    assert "put aside" in caught.value.line()
    assert sandbox.exec("ls", "-A", "/var/www").stdout.split() == ["html"]


def test_a_hostile_zip_is_refused_on_the_host(
    stage: Asker, tmp_path: Path, sandbox: Sandbox
) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(mini())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("matomo/../../../etc/cron.d/evil", "* * * * * root evil")
    with pytest.raises(Refused, match="would leave the folder"):
        stage(release=str(path), sha256=sha256(path.read_bytes())).run()
    assert sandbox.exec("ls", "-A", "/var/www").stdout.split() == ["html"]


@pytest.fixture
def small_disk(sandbox: Sandbox) -> Iterator[str]:
    """A copy of the installation's folder on a small filesystem of its own; its docroot."""
    script = (
        "mkdir -p /srv/disk && mount -t tmpfs -o size=60m,mode=755 tmpfs /srv/disk && "
        "mkdir -p /srv/disk/matomo/core /srv/disk/matomo/config && cd /var/www/html && "
        "cp -a core/Version.php /srv/disk/matomo/core/ && cp -a config/*.php "
        "/srv/disk/matomo/config/ && chown -R www-data: /srv/disk/matomo"
    )
    sandbox.exec("sh", "-c", script)
    yield "/srv/disk/matomo"
    sandbox.exec("sh", "-c", "umount -l /srv/disk/matomo /srv/disk 2>&1; rmdir /srv/disk || :")


def test_no_room_is_told_with_figures_before_unpacking(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, small_disk: str
) -> None:
    data = mini(ballast=4_000_000)
    server.items = {"/m.zip": Item(data)}
    with pytest.raises(Refused, match=r"not enough room at /srv/disk: \d+.* are needed, \d+"):
        stage(
            release=server.url("/m.zip"), sha256=sha256(data), settings={"docroot": small_disk}
        ).run()
    assert sandbox.exec("ls", "-A", "/srv/disk").stdout == "matomo\n"


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, small_disk: str
) -> None:
    sandbox.exec("mount", "-o", "remount,size=150m", "/srv/disk")
    data = mini(ballast=60_000_000)
    server.items = {"/m.zip": Item(data)}
    asked = stage(
        release=server.url("/m.zip"), sha256=sha256(data), settings={"docroot": small_disk}
    )
    *first, unpack, _prove = asked.look.actions
    for action in first:
        asked.step.act(action)
    # Another process takes the room as soon as the unpacking has begun.
    grab = (
        "while ! ls -d /srv/disk/.matops-stage/*.partial/matomo >/dev/null 2>&1; do :; done; "
        "fallocate -l 100m /srv/disk/other"
    )
    thread = threading.Thread(target=sandbox.exec, args=("sh", "-c", grab), daemon=True)
    thread.start()
    with pytest.raises(MatopsError, match=r"disk of .* is full \(.* free"):
        asked.step.act(unpack)
    thread.join(10)
    assert sandbox.exec("ls", "-A", "/srv/disk").stdout.split() == ["matomo", "other"]


def test_read_only_and_other_filesystems_name_the_way_out(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox, small_disk: str
) -> None:
    settings = {"docroot": small_disk}
    data = mini()
    server.items = {"/m.zip": Item(data)}
    url = server.url("/m.zip")
    sandbox.exec("mount", "--bind", small_disk, small_disk)
    sandbox.exec("mount", "-o", "remount,bind,ro", small_disk)
    sandbox.exec("mount", "-o", "remount,ro", "/srv/disk")
    with pytest.raises(Refused, match=r"/srv/disk is on a read-only filesystem.*stage_dir"):
        stage(release=url, settings=settings)
    sandbox.exec("umount", small_disk)
    sandbox.exec("mount", "-o", "remount,rw", "/srv/disk")
    elsewhere = {**settings, "stage_dir": "/var/tmp/stage"}
    with pytest.raises(Refused, match=r"another filesystem than /srv/disk/matomo.*stage_dir"):
        stage(release=url, settings=elsewhere)


def test_without_sudo_it_says_what_it_may_not(stage: Asker, server: ReleaseServer) -> None:
    server.items = {"/m.zip": Item(mini())}
    with pytest.raises(MatopsError, match=r"not writable for nosudo|cannot be read"):
        stage("nosudo", release=server.url("/m.zip"))


def test_a_lost_link_costs_nothing(stage: Asker, server: ReleaseServer, sandbox: Sandbox) -> None:
    data = mini(ballast=4_000_000)
    server.items = {"/m.zip": Item(data, etag='"1"', pace=0.12)}
    url = server.url("/m.zip")
    asked = stage(release=url, sha256=sha256(data))
    threading.Timer(1.0, sandbox.kill_ssh_sessions).start()
    done = asked.run()  # the follower comes back by itself
    assert done.evidence and len(server.asked("/m.zip")) == 1


def test_a_killed_run_is_gone_on_with(
    stage: Asker, server: ReleaseServer, sandbox: Sandbox
) -> None:
    data = mini(ballast=4_000_000)
    server.items = {"/m.zip": Item(data, etag='"1"', pace=0.2)}
    url = server.url("/m.zip")
    asked = stage(release=url, sha256=sha256(data))

    def kill() -> None:
        while not server.asked("/m.zip"):
            time.sleep(0.1)
        sandbox.exec("sh", "-c", "sleep 0.7; pkill -KILL -f '[m]atops-.*pyz call'")

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(MatopsError, match=r"ended with exit code 137|without an exit code"):
        asked.step.act(asked.look.actions[0])
    partial = f"{STAGES}/5.9.0-{sha256(data)[:8]}.partial/matomo/core"
    sandbox.exec("sh", "-c", f"umask 077; mkdir -p {partial}")  # as a killed unpacking leaves it
    server.items["/m.zip"].pace = 0
    done = stage(release=url, sha256=sha256(data)).run()
    assert server.asked("/m.zip")[1] not in ("", "bytes=0-")
    assert done.evidence
    names = sandbox.exec("ls", "-A", STAGES).stdout.split()
    assert names == [f"5.9.0-{sha256(data)[:8]}"]


def test_a_job_that_was_not_started_is_not_followed(
    stage: Asker, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.items = {"/m.zip": Item(mini())}
    asked = stage(release=server.url("/m.zip"))
    taken = "release.other.20261122T121600Z"
    assert asked.step.site.jobs.start(taken, "true", user="root")
    monkeypatch.setattr("matops.host.jobs.new_name", lambda label: taken)
    with pytest.raises(MatopsError, match="was not started by this run"):
        asked.step.act(asked.look.actions[0])
    assert not server.asked("/m.zip")
