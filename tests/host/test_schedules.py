"""Schedules on the real host: found wherever they stand, held, put back to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from matops.matomo.site import Site
from tests.conftest import SiteFactory
from tests.sandbox import Sandbox

KEEP = "/var/lib/matops/test-held"
OLD = "2026-01-02 03:04:05.678901234"
ARCHIVE = "php /var/www/html/console core:archive"
FILES = {
    "/etc/cron.d/many": (
        "MAILTO=''\nDOCROOT=/var/www/matomo-link\n"
        "# */9 * * * * www-data php /var/www/html/console core:archive\n"
        f"*/5 * * * *\twww-data\tcd $DOCROOT && flock -n /tmp/a {ARCHIVE} --url=x?token_auth=abc\n"
        "*/5 * * * * root /usr/bin/true  # of no interest \xe4\n"
        "@hourly www-data php /var/www/html/console scheduled-tasks:run\n"
        "* * * * * www-data php /var/www/html/console queuedtracking:process\n"
        "7 3 * * * root docker exec m php /srv/console core:archive\n"
        "1 1 * * * www-data php /srv/other/console core:archive"
    ),
    "/var/spool/cron/crontabs/www-data": (
        f"# DO NOT EDIT\n\n0 * * * * sleep $((RANDOM \\% 60)); {ARCHIVE}\n"
    ),
    "/usr/local/bin/outer": "#!/bin/sh\nexec /opt/inner.sh\n",
    "/opt/inner.sh": f"#!/bin/sh\n# the archiver\n{ARCHIVE} \\\n  --quiet\n",
    "/etc/cron.d/wrapped": "15 * * * * root nice outer > /dev/null\n",
    "/etc/cron.daily/nightly": f"#!/bin/sh\n{ARCHIVE}\n",
    "/srv/weekly": f"#!/bin/sh\n{ARCHIVE}\n",
    "/srv/other/console": "another Matomo",
}


@pytest.fixture
def scheduled(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The host with many schedules, and nothing of them afterwards."""
    box = sandbox
    box.exec("sh", "-c", "mkdir -p /srv/other; ln -s /var/www/html /var/www/matomo-link;"
             "ln -s /srv/weekly /etc/cron.weekly/weekly")  # fmt: skip
    for path, text in FILES.items():
        put(box, path, text)
    box.exec("sh", "-c", "chmod 755 /usr/local/bin/outer /opt/inner.sh /srv/weekly;"
             "chmod 750 /etc/cron.daily/nightly; cd /var/spool/cron/crontabs;"
             "chown www-data:crontab www-data; chmod 600 www-data;"
             f"touch -d '{OLD}' www-data /etc/cron.d/* /etc/cron.daily/nightly")  # fmt: skip
    yield box
    names = " ".join([*FILES, "/etc/cron.weekly/weekly", "/etc/cron.weekly/.weekly.matops-held",
                      "/var/www/matomo-link", KEEP])  # fmt: skip
    box.exec("sh", "-c", f"rm -rf {names}")


def put(box: Sandbox, path: str, text: str) -> None:
    """Writes a file there."""
    box.exec("sh", "-c", f"cat > {path}", input=text.encode("latin-1"))


def picture(box: Sandbox) -> str:
    """Every file of cron: mode, owner, time, content."""
    return str(box.exec("sh", "-c", "cd /etc; for f in crontab cron.d/* cron.*ly/* "
                        "/var/spool/cron/crontabs/*; do stat -c '%n %a %U:%G %Y.%y %s %N' $f;"
                        " base64 $f; done; ls -A /etc/cron.d /etc/cron.weekly").stdout)  # fmt: skip


def call(site: Site, function: str, **payload: Any) -> Any:
    """A function of the module, on the host, as root."""
    words = {"docroot": site.docroot, "keep": KEEP, **payload}
    return site.agent.call(f"matops.matomo.schedules:{function}", words, user="root")


def places(found: dict[str, Any], held: bool = False) -> set[str]:
    """``where:line`` of what was found."""
    return {f"{e['where'].rpartition('/')[2]}:{e['number']}" for e in found["entries"]
            if bool(e["held"]) == held}  # fmt: skip


WORK = ["archive", "tasks", "console"]
HELD = {"many:4", "many:6", "many:8", "www-data:3", "wrapped:1", "nightly:0", "weekly:0",
        "matomo:2"}  # fmt: skip


def test_found_held_and_put_back_to_the_byte(site_factory: SiteFactory, scheduled: Sandbox) -> None:
    site, before = site_factory(), picture(scheduled)
    found = call(site, "find", what=WORK)
    assert places(found) == HELD and found["hidden"] == []
    by = {e["where"]: e for e in found["entries"]}
    assert by["/etc/cron.d/wrapped"]["via"] == ["/opt/inner.sh"]
    assert "abc" not in str(found) and "token_auth=<hidden>" in str(found)
    done = call(site, "hold", what=WORK, who="archiver")
    assert len(done["held"]) == len(HELD) and not done["failed"] and done["cron"]
    again = call(site, "find", what=WORK)
    assert places(again) == set() and places(again, held=True) == HELD
    assert places(call(site, "find", what=["queue"])) == {"many:7"}
    assert call(site, "hold", what=WORK, who="archiver")["held"] == []
    # Another holder of another line of the same file; put back in the order of holding.
    assert len(call(site, "hold", what=["queue"], who="workers")["held"]) == 1
    assert call(site, "release", who="archiver")["notes"] == []
    back = call(site, "release", who="workers")
    assert back["notes"] == back["failed"] == []
    assert picture(scheduled) == before
    assert scheduled.exec("ls", "-A", KEEP).stdout == ""


def test_what_was_edited_meanwhile_is_kept_and_said(
    site_factory: SiteFactory, scheduled: Sandbox
) -> None:
    site = site_factory()
    call(site, "hold", what=WORK, who="archiver")
    scheduled.exec("sh", "-c", "echo '3 3 * * * root new' >> /etc/cron.d/wrapped;"
                   "sed -i '/console core/d' /etc/cron.d/matomo; rm /var/spool/cron/crontabs/*;"
                   "chmod 700 /etc/cron.daily/nightly")  # fmt: skip
    back = call(site, "release", who="archiver")
    assert not back["failed"]
    said = {
        note.split(" line")[0].split(" (")[0].rpartition("/")[2]: note for note in back["notes"]
    }
    assert set(said) == {"wrapped", "matomo", "www-data", "nightly"}, back
    assert "their change is kept" in said["wrapped"] and "the file is gone" in said["www-data"]
    assert "changed the line, or removed it" in said["matomo"] and KEEP in said["matomo"]
    text = scheduled.exec("cat", "/etc/cron.d/wrapped").stdout
    assert text == FILES["/etc/cron.d/wrapped"] + "3 3 * * * root new\n"
    copy = said["matomo"].rpartition(": ")[2].rstrip(")")
    scheduled.exec("cp", "--no-preserve=all", copy, "/etc/cron.d/matomo")


def test_killed_between_the_record_and_the_change(
    site_factory: SiteFactory, scheduled: Sandbox
) -> None:
    site, before = site_factory(), picture(scheduled)
    call(site, "hold", what=["tasks"], who="archiver")
    # As if it had been killed after the ledger was written, and after half of the files.
    scheduled.exec("sh", "-c", "sed -i 's/^#matops-hold .* # //' /etc/cron.d/many;"
                   f"touch -d '{OLD}' /etc/cron.d/many")  # fmt: skip
    assert places(call(site, "find", what=["tasks"])) == {"many:6"}
    assert len(call(site, "hold", what=WORK, who="archiver")["held"]) == len(HELD)
    back = call(site, "release", who="archiver")
    assert back["notes"] == [] and picture(scheduled) == before
    assert call(site, "release", who="archiver") == {"back": [], "notes": [], "failed": []}


def test_what_cannot_be_changed_or_seen_is_said(
    site_factory: SiteFactory, scheduled: Sandbox
) -> None:
    site = site_factory()
    table = "/etc/cron.d/wrapped"  # as where a container's files are mounted one by one
    scheduled.exec("mount", "--bind", table, table)
    try:
        (failed,) = call(site, "hold", what=WORK, who="archiver")["failed"]
        assert table in failed["where"] and "It is as it was" in failed["why"]
        assert places(call(site, "find", what=WORK)) == {"wrapped:1"}
    finally:
        scheduled.exec("umount", table)
    assert not call(site, "release", who="archiver")["failed"]
    seen = site.agent.call("matops.matomo.schedules:find",
                           {"docroot": site.docroot, "what": WORK}, user="ops")  # fmt: skip
    assert "crontabs of users (this account is not root)" in seen["hidden"]
