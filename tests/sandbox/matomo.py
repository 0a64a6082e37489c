"""Matomo put into a base image: database, files, web installer, visits, archives."""

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from .errors import SandboxError
from .guest import Guest
from .install import HOST_NAME, Passwords, install
from .network import BUILD_OCTET, PREFIX
from .say import say, stage
from .visits import send_visits
from .web import Browser

DOCROOT = "/var/www/html"
CONFIG = f"{DOCROOT}/config/config.ini.php"
# Where the image is built. It ends up in [General] trusted_hosts, where each host puts its own.
BUILD_ADDRESS = f"{PREFIX}.{BUILD_OCTET}.2"
# https://matomo.org/faq/how-to-install/faq_23484/
_GRANTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX, DROP, ALTER, "
    "CREATE TEMPORARY TABLES, LOCK TABLES"
)
_LOGS = ("apache2/access.log", "apache2/error.log", "matomo-archive.log")


@dataclass(frozen=True)
class Secrets:
    """What gives access to the installed Matomo."""

    token: str
    admin: str


def add_matomo(guest: Guest, release_zip: Path) -> Secrets:
    """Install Matomo in the (not yet booted) guest, fill it, and shut the guest down."""
    passwords = Passwords(_password(), _password())
    guest.start()
    try:
        _unzip(guest, release_zip)
        _create_database(guest, passwords.database)
        browser = Browser(guest.network.address, HOST_NAME)
        with stage("running Matomo's web installer"):
            token = install(browser, passwords)
        _finish_configuration(guest)
        with stage("tracking visits"):
            say(f"{send_visits(browser, token)} visits tracked")
        with stage("archiving"):
            console(guest, "core:archive", f"--url=http://{HOST_NAME}/")
        _verify(guest)
    finally:
        guest.stop()
    _empty_logs(guest.root)
    return Secrets(token, passwords.admin)


def console(guest: Guest, *words: str) -> str:
    """Run Matomo's console as the web user, as it should be."""
    return guest.run(["php", f"{DOCROOT}/console", *words], user="www-data").stdout


def trust_address(root: Path, address: str) -> None:
    """Let a copy of the image answer under its own address."""
    path = root / CONFIG.lstrip("/")
    path.write_text(path.read_text().replace(f'"{BUILD_ADDRESS}"', f'"{address}"'))


def _password() -> str:
    return secrets.token_urlsafe(18)


def _unzip(guest: Guest, release_zip: Path) -> None:
    shutil.copyfile(release_zip, guest.root / "tmp/matomo.zip")
    script = f"""
        set -e
        rm -rf {DOCROOT}
        install -d -o www-data -g www-data {DOCROOT} /tmp/matomo-unzip
        runuser -u www-data -- unzip -q /tmp/matomo.zip 'matomo/*' -d /tmp/matomo-unzip
        rmdir {DOCROOT}
        mv /tmp/matomo-unzip/matomo {DOCROOT}
        rm -r /tmp/matomo-unzip /tmp/matomo.zip
        install -o www-data -g www-data -m 644 /dev/null /var/log/matomo-archive.log
    """
    guest.run(["sh", "-c", script])


def _create_database(guest: Guest, password: str) -> None:
    statements = ["CREATE DATABASE matomo"]
    for host in ("localhost", "127.0.0.1"):
        statements.append(f"CREATE USER matomo@'{host}' IDENTIFIED BY '{password}'")
        statements.append(f"GRANT {_GRANTS} ON matomo.* TO matomo@'{host}'")
    guest.run(["mariadb"], stdin=";\n".join(statements).encode())


def _finish_configuration(guest: Guest) -> None:
    hosts = f'General.trusted_hosts=["{HOST_NAME}","{BUILD_ADDRESS}"]'
    console(guest, "config:set", hosts)
    if f'"{BUILD_ADDRESS}"' not in guest.run(["cat", CONFIG]).stdout:
        raise SandboxError("Matomo's configuration does not list the trusted address")
    guest.run(["chmod", "640", CONFIG])


def _verify(guest: Guest) -> None:
    query = """SELECT (SELECT COUNT(*) FROM matomo.matomo_log_visit),
        (SELECT COUNT(DISTINCT DATE(visit_last_action_time)) FROM matomo.matomo_log_visit),
        (SELECT COUNT(*) FROM information_schema.tables
         WHERE table_schema = 'matomo' AND table_name LIKE 'matomo_archive_numeric_%')"""
    visits, days, tables = guest.run(["mariadb", "-NBe", query]).stdout.split()
    say(f"{visits} visits on {days} days in the database, {tables} tables of numeric archives")
    if int(visits) < 200 or int(days) < 4 or int(tables) < 1:
        raise SandboxError("the image has too few visits or archives: see the lines above")


def _empty_logs(root: Path) -> None:
    for name in _LOGS:
        path = root / "var/log" / name
        if path.exists():
            path.write_text("")
    for path in (root / "var/log/apache2").glob("*.[0-9]*"):
        if re.search(r"\.\d", path.name):
            path.unlink()
