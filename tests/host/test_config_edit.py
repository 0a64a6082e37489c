"""The editor of config.ini.php on the real host: PHP and Matomo read what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo import config_edit
from matops.matomo.site import Site
from tests.conftest import SiteFactory
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

CONFIG = "/var/www/html/config/config.ini.php"
MODE = ["General", "maintenance_mode"]
_FACTS = f"stat -c '%U %G %a' {CONFIG}; sha256sum < {CONFIG}"


@pytest.fixture
def site(site_factory: SiteFactory) -> Site:
    """The installation, through an account with sudo."""
    return site_factory()


@pytest.fixture(autouse=True)
def same(sandbox: Sandbox) -> Iterator[str]:
    """The file's owner, mode and content; the same again after each test."""
    sandbox.exec("cp", "-a", CONFIG, "/root/config.kept")
    before = shell(sandbox, _FACTS)
    yield before
    shell(sandbox, f"rm -f {CONFIG}; cp -a /root/config.kept {CONFIG}")
    left = shell(sandbox, "ls -A /var/www/html/config | grep matops || true")
    assert left == "", "no temporary file is left behind"


def shell(sandbox: Sandbox, script: str, check: bool = True) -> str:
    """Output of a script, as root on the host."""
    return sandbox.exec("sh", "-c", script, check=check).stdout


def test_set_and_put_back_leaves_no_trace(site: Site, sandbox: Sandbox, same: str) -> None:
    shell(sandbox, f"printf '[Tracker]\\nrecord_statistics = yes ; mine' >> {CONFIG}; "
          f"chmod 640 {CONFIG}; setfattr -n user.mine -v x {CONFIG} || true")  # fmt: skip
    before = shell(sandbox, _FACTS)
    odd = 'a"b$c;d&amp;e\\ é'
    edits: list[list[Any]] = [
        [*MODE, "1"],
        ["Tracker", "record_statistics", "0"],
        ["New", "odd", odd],
        ["New", "many", ["x y", "2"]],
    ]
    done = config_edit.edit(site, edits)
    assert done["notes"] == [] and done["at"]["before"] <= done["at"]["after"]
    keys = [each[:2] for each in edits]
    assert config_edit.through_matomo(site, keys) == {
        "General.maintenance_mode": 1, "Tracker.record_statistics": 0, "New.odd": odd,
        "New.many": ["x y", 2]}  # fmt: skip
    assert shell(sandbox, _FACTS).split("\n")[0] == "www-data www-data 640"
    kept = shell(sandbox, f"stat -c '%U %a' {done['kept']}; cat {done['kept']}")
    assert kept.startswith("root 600\n; <?php exit; ?>") and odd not in kept
    assert config_edit.edit(site, edits)["changed"] is False
    undo = [[*name.split(".", 1), config_edit.before_edit(done, name)] for name in done["before"]]
    assert config_edit.edit(site, undo)["changed"] is True
    assert shell(sandbox, _FACTS) == before


def test_a_linked_file_stays_linked(site: Site, sandbox: Sandbox) -> None:
    shell(sandbox, f"mkdir -p /etc/mat; mv {CONFIG} /etc/mat/c.php; ln -s /etc/mat/c.php {CONFIG}")
    try:
        assert config_edit.edit(site, [[*MODE, "1"]])["path"] == "/etc/mat/c.php"
        assert shell(sandbox, f"readlink {CONFIG}; grep maint /etc/mat/c.php").split() == [
            "/etc/mat/c.php", "maintenance_mode", "=", "1"]  # fmt: skip
    finally:
        shell(sandbox, "rm -rf /etc/mat")


def test_a_file_mounted_by_itself_is_written_in_place(site: Site, sandbox: Sandbox) -> None:
    shell(sandbox, f"cp -a {CONFIG} /root/m.php; mount --bind /root/m.php {CONFIG}")
    try:
        done = config_edit.edit(site, [[*MODE, "1"]])
        assert "mounted by itself" in done["notes"][0]
        assert "maintenance_mode = 1" in shell(sandbox, f"cat {CONFIG}")
    finally:
        shell(sandbox, f"umount {CONFIG}; rm /root/m.php")


def test_what_cannot_be_written_is_one_line_and_nothing_changed(
    site: Site, sandbox: Sandbox, site_factory: SiteFactory, same: str
) -> None:
    assert config_edit.trouble(site) == ""
    shell(sandbox, "mount --bind /var/www/html/config /var/www/html/config; "
          "mount -o remount,bind,ro /var/www/html/config")  # fmt: skip
    try:
        assert "Read-only file system" in config_edit.trouble(site)
        with pytest.raises(MatopsError, match="cannot be changed: Read-only") as caught:
            config_edit.edit(site, [[*MODE, "1"]])
        assert "Nothing was changed" in caught.value.line()
    finally:
        shell(sandbox, "umount /var/www/html/config")
    shell(sandbox, f"chmod o+r {CONFIG}")
    assert "cannot be changed" in config_edit.trouble(site_factory("nosudo"))
    shell(sandbox, f"chmod o-r {CONFIG}")
    shell(sandbox, f"echo 'no configuration' > /root/x; mv {CONFIG} /root/y; "
          f"ln -s /root/x {CONFIG}")  # fmt: skip
    with pytest.raises(Refused, match="no configuration of Matomo"):
        config_edit.edit(site, [[*MODE, "1"]])
    shell(sandbox, f"mv -T /root/y {CONFIG}")
    assert shell(sandbox, _FACTS) == same


def test_a_change_that_php_reads_otherwise_is_refused(
    site: Site, sandbox: Sandbox, same: str
) -> None:
    with pytest.raises(Refused, match="could not read"):
        config_edit.edit(site, [["New", "x", {"raw": '"open'}]])
    with pytest.raises(Refused, match=r"would change \[New\] y, too"):
        config_edit.edit(site, [["New", "x", {"raw": "1\ny = 2"}]])
    assert shell(sandbox, _FACTS) == same


def test_a_killed_run_leaves_a_file_that_the_next_one_removes(site: Site, sandbox: Sandbox) -> None:
    left = "/var/www/html/config/.config.ini.php.matops-4194399.php"
    shell(sandbox, f"cp -a {CONFIG} {left}")
    assert sandbox.exec(
        "curl", "-s", f"http://127.0.0.1/config/{left.rpartition('/')[2]}"
    ).stdout.strip() in ("", ";")  # PHP runs it: nothing of it is shown
    config_edit.edit(site, [[*MODE, "1"]])
    assert shell(sandbox, f"ls {left} 2>&1", check=False).startswith("ls: cannot")
