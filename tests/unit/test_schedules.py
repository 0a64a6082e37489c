"""What a scheduled line means; lines of cron; what systemd and supervisor say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from matops.matomo.schedules import cron, supervisor, units
from matops.matomo.schedules.words import kinds_of, meaning

A, T, Q, C = ("archive",), ("tasks",), ("queue",), ("console",)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A docroot, another one, a symlink to the first, scripts."""
    for name in ("www", "other"):
        (tmp_path / name / "misc/cron").mkdir(parents=True)
        (tmp_path / name / "console").write_text("<?php")
        (tmp_path / name / "misc/cron/archive.php").write_text("<?php")
    (tmp_path / "link").symlink_to(tmp_path / "www")
    (tmp_path / "a.sh").write_text(
        "#!/bin/bash\n# core:archive for /srv/x\nexport MATOMO='D/www'\nPHP=\"php -d x=1\"\n"
        '$PHP "${MATOMO}/console" \\\n  core:archive >> /tmp/log\n'.replace("D", str(tmp_path))
    )
    (tmp_path / "b.sh").write_text("exec flock -n /tmp/x $(dirname $0)/a.sh\n")
    (tmp_path / "c.py").write_text(f"run(['php',\n '{tmp_path}/www/console',\n 'core:archive'])\n")
    (tmp_path / "old.log").write_text("php /x/console core:archive\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "kinds", "ours"),
    [
        ("php D/www/console core:archive >> D/old.log 2>&1", A, True),
        ("date >> D/old.log", (), None),
        ("cd D/www && php console core:archive", A, True),
        ("cd 'D/www'; sudo -u www-data php ./console scheduled-tasks:run", T, True),
        ("cd D/other; php console core:archive", A, False),
        ("php D/link/console queuedtracking:process", Q, True),
        ("su -s /bin/sh www-data -c 'cd D/www && nice -n 19 ./console core:archive'", A, True),
        ("[ -d D/www ] && { cd D/www; php console core:archive; }", A, True),
        ("if cd D/www; then php console core:archive; fi", A, True),
        ("M=D/www; php $M/console core:archive", A, True),
        ("php $UNKNOWN/console core:archive", A, None),
        ("php ${DOCROOT}/console core:archive", A, True),
        ("php ${NOWHERE:-D/www}/console core:archive", A, True),
        ("D/a.sh", A, True),
        ("flock -n /x bash D/b.sh", A, True),
        ("D/c.py", A, None),
        ("docker exec m php D/www/console core:archive", A, None),
        ("php D/www/misc/cron/archive.php --url=x", A, True),
        ("cd D/www/misc/cron; php archive.php", A, True),
        ("curl -s 'https://x/misc/cron/archive.php?token_auth=abc'", A, None),
        ("php D/www/console --matomo-domain=x core:archive", A, True),
        ("php D/www/console core:delete-logs-data --dates=1,2", C, True),
        ("php D/www/console core:purge-old-archive-data all; D/a.sh", ("archive", "console"), True),
        ("php D/other/console core:archive; php D/www/console core:archive", A, True),
        ("mysqldump matomo > D/console.sql", (), None),
        ("sh\ncd D/www; php console core:archive", A, True),
        ("nonsense ' \" $( ${ ` \\", (), None),
    ],
)
def test_meaning(here: Path, command: str, kinds: tuple[str, ...], ours: Optional[bool]) -> None:
    known = {"DOCROOT": f"{here}/www", "HOME": "/nonexistent"}
    found = meaning(command.replace("D/", f"{here}/"), f"{here}/www", known)
    assert (found.kinds, found.ours) == (kinds, ours)


def test_a_folder_of_scripts_and_kinds(here: Path) -> None:
    folder = here / "cron.5min"
    folder.mkdir()
    (folder / "matomo").symlink_to(here / "a.sh")
    found = meaning(f"run-parts --report {folder}", f"{here}/www")
    assert found.kinds == A and found.ours and found.via == (f"{folder}/matomo",)
    assert kinds_of("php console core:archive-foo") == ["console"]
    assert kinds_of("archive.sh /home") == [] and kinds_of("/opt/matomo/archive.sh") == ["archive"]


TABLE = cron.Table("/etc/cron.d/x", watched="/etc/cron.d")
TEXT = (
    b"SHELL=/bin/sh\nM = '/srv/m'\n# * * * * * root no\n\n"
    b"*/5 * * * *\troot\tphp $M/console x:y\t\xff\n"
    b"@hourly www-data  php a%php b\\%c\n"
    b"not a line\n-*/9 1 2 3 4 root quiet\r\n0 0 * * * root last"
)


def test_lines_of_cron() -> None:
    found = cron.parse(TABLE, TEXT)
    assert [(e.number, e.when, e.user, e.command) for e in found] == [
        (5, "*/5 * * * *", "root", "php $M/console x:y\t\N{REPLACEMENT CHARACTER}"),
        (6, "@hourly", "www-data", "php a\nphp b%c"),
        (8, "-*/9 1 2 3 4", "root", "quiet"),
        (9, "0 0 * * *", "root", "last"),
    ]
    assert found[0].environment == {"SHELL": "/bin/sh", "M": "/srv/m"}
    (line,) = cron.parse(cron.Table("/var/spool/cron/ann", "ann"), b"1 2 * * 1-5 php x\n")
    assert (line.user, line.command) == ("ann", "php x")
    (line,) = cron.parse(cron.Table("/etc/anacrontab", "root", True), b"7 25 week php x\nA=b\n")
    assert (line.when, line.command) == ("every 7 25", "php x")


def test_a_held_line_is_the_same_line(tmp_path: Path) -> None:
    table = cron.Table(str(tmp_path / "t"), watched=str(tmp_path))
    (tmp_path / "t").write_bytes(TEXT)
    before = cron.lines(table, [])
    assert cron.comment(table, [before[0].id, before[3].id], "w") == 2
    held = cron.lines(table, [])
    assert [e.held for e in held] == ["w", "", "", "w"]
    assert [e.id for e in held] == [e.id for e in before]
    assert cron.comment(table, [before[0].id], "other") == 0
    assert cron.clean((tmp_path / "t").read_bytes()) == TEXT
    assert cron.uncomment(table, "other", "") == (0, False)
    assert cron.uncomment(table, "w", cron.sha(TEXT)) == (2, True)
    assert (tmp_path / "t").read_bytes() == TEXT


SHOWN = """\
ExecStart={ path=/bin/sh ; argv[]=/bin/sh -c php console core:archive ; ignore_errors=no ; x=y }
Environment=
WorkingDirectory=!/var/www/html
User=www-data
Id=marc.service
TriggeredBy=marc.timer off.timer marc.path
ActiveState=inactive
DropInPaths=
UnitFileState=static

ExecStart={ path=/bin/sh ; argv[]=/bin/sh -c php ${DOC}/console core:archive ; ignore_errors=no }
ExecStartPost={ path=/bin/true ; argv[]=/bin/true ; ignore_errors=no ; }
Environment=DOC=/var/www/html
WorkingDirectory=
User=
Id=mloop.service
TriggeredBy=
ActiveState=activating
DropInPaths=/etc/systemd/system/mloop.service.d/zzz-matops-hold-archiver.conf
UnitFileState=enabled
"""


def test_what_systemd_shows() -> None:
    timers = {"marc.timer": True, "off.timer": False}
    timed, loop = (units.unit(one, timers) for one in units.parse(SHOWN))
    assert timed.commands == ("/bin/sh -c php console core:archive",)
    assert (timed.user, timed.folder, timed.timers) == (
        "www-data",
        "/var/www/html",
        ("marc.timer",),
    )
    assert timed.enabled and not timed.active and timed.holders == ()
    assert loop.active and loop.enabled and loop.user == "root" and loop.holders == ("archiver",)


def test_programs_of_supervisor() -> None:
    text = (
        "[program:w]\ncommand=php %(here)s/console queuedtracking:process ; why\nuser=www-data\n"
        "numprocs=2\n[group:g]\nprograms=a\n[program:a]\ndirectory=/srv\ncommand=php x\n"
    )
    w, a = supervisor.parse("/x.conf", text)
    assert (w.command, w.user) == ("php %(here)s/console queuedtracking:process", "www-data")
    assert (a.folder, a.user) == ("/srv", "root")
    assert supervisor.parse("/x", "no section\n") == []
