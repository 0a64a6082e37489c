"""Matomo's own database account: read from ``config.ini.php``, where that file is."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Optional

from matops.errors import MatopsError
from matops.matomo import ini
from matops.mysql.session import Address, Session

_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")


def read_config(docroot: str) -> ini.Sections:
    """global.ini.php, common.config.ini.php and config.ini.php of this machine, merged.

    A host-named ``<name>.config.ini.php`` serves other domains and is not read: console does
    not read it either unless told a domain.
    Raises MatopsError where config.ini.php cannot be read or has no [database].
    """
    folder = Path(docroot) / "config"
    layers = []
    for name in ("global.ini.php", "common.config.ini.php", "config.ini.php"):
        path = folder / name
        try:
            layers.append(ini.parse(path.read_text(errors="replace")))
        except FileNotFoundError:
            if name == "config.ini.php":
                raise MatopsError(
                    f"{path} does not exist", next="is this host installed? Check docroot"
                ) from None
        except OSError as error:
            raise MatopsError(
                f"{path} cannot be read: {error.strerror}",
                next="let this account read it, or give it sudo",
            ) from None
    if not layers[-1].get("database"):
        raise MatopsError(
            f"{folder / 'config.ini.php'} has no readable [database] section",
            next="restore it: config.list, config.restore",
        )
    return ini.merge(*layers)


def address(config: ini.Sections) -> Address:
    """The account of [database]. MatopsError for a port that is not a number."""

    def of(key: str, default: str = "") -> str:
        return ini.text_of(config, "database", key, default)

    port = of("port", "3306") or "3306"
    if not port.isdigit():
        raise MatopsError(f"[database] port = {port} in config.ini.php is not a number")
    secure = of("enable_ssl", "0") not in ("", "0", "false")
    host = of("host", "127.0.0.1")
    return Address(
        host=host,
        port=int(port),
        socket=of("unix_socket") or (_usual_socket() if host == "localhost" else ""),
        user=of("username"),
        password=of("password"),
        schema=of("dbname"),
        ssl_ca=of("ssl_ca") if secure else "",
        ssl_cert=of("ssl_cert") if secure else "",
        ssl_key=of("ssl_key") if secure else "",
        ssl_verify=of("ssl_no_verify", "0") in ("", "0", "false"),
    )


def _usual_socket() -> str:
    # For localhost PHP takes the unix socket; an account may be allowed through nothing else.
    return next((path for path in _SOCKETS if Path(path).is_socket()), "")


class Database:
    """A session on Matomo's schema that knows the table prefix. Use as a context manager."""

    def __init__(self, docroot: str, timeout: Optional[int] = 60) -> None:
        self.config = read_config(docroot)
        self.address = address(self.config)
        self.prefix = ini.text_of(self.config, "database", "tables_prefix")
        self.session = Session(self.address, timeout=timeout)

    def table(self, name: str) -> str:
        """The table's full name: the prefix is often piwik_, and may be empty."""
        return self.prefix + name

    @property
    def is_local(self) -> bool:
        """True where [database] names this very machine."""
        return bool(self.address.socket) or is_local_name(self.address.host)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *unused: object) -> None:
        self.session.close()


def is_local_name(host: str) -> bool:
    """True for '', localhost, loopback addresses and this machine's own name."""
    names = {"", "localhost", "::1", socket.gethostname().lower()}
    return host.lower() in names or host.startswith("127.")
