"""Who makes the scratch database: Matomo's account, root over the socket, or a client's file."""

from __future__ import annotations

import configparser
import dataclasses
from pathlib import Path

from matops.errors import MatopsError, UsageError
from matops.mysql.session import Address

MATOMO, ROOT = "", "root"
_SECTIONS = ("client", "mysql", "mariadb", "client-mariadb")


def address(login: str, matomo: Address, socket: str) -> Address:
    """The maker's address. ``login``: '' = Matomo's own account; ``root``: root through ``socket``
    without a password (unix_socket, auth_socket); else the path of an option file as the
    ``mysql`` client reads it ([client] host, port, socket, user, password).

    The password of such a file goes nowhere but to the server. Raises UsageError, MatopsError.
    """
    if login == MATOMO:
        return matomo
    if login == ROOT:
        if not socket:
            raise UsageError(
                "--login root: the database is not on this host, or its socket is not found",
                next="name an option file of the client that has a login: --login /root/.my.cnf",
            )
        return Address(host="localhost", socket=socket, user="root", schema="")
    return _from_file(Path(login), matomo)


def _from_file(path: Path, matomo: Address) -> Address:
    values: dict[str, str] = {}
    for section, key, value in _read(path):
        if section in _SECTIONS:
            values[key.replace("-", "_")] = value
    if "user" not in values:
        raise UsageError(f"--login {path}: it has no [client] section with a user")
    port = values.get("port", str(matomo.port))
    if not port.isdigit():
        raise UsageError(f"--login {path}: port = {port} is not a number")
    elsewhere = "host" in values or "socket" in values
    return dataclasses.replace(
        matomo,
        host=values.get("host", "localhost" if elsewhere else matomo.host),
        port=int(port),
        socket=values.get("socket", "" if elsewhere else matomo.socket),
        user=values["user"],
        password=values.get("password", ""),
        schema="",
    )


def _read(path: Path) -> list[tuple[str, str, str]]:
    parser = configparser.RawConfigParser(
        allow_no_value=True, strict=False, delimiters=("=",), comment_prefixes=("#", ";", "!"),
        empty_lines_in_values=False,
    )  # fmt: skip
    try:
        parser.read_string(path.read_text(errors="replace"), str(path))
    except OSError as error:
        raise MatopsError(f"--login {path} cannot be read: {error.strerror}") from None
    except configparser.Error:
        # Its message quotes the line, which may be the password.
        raise UsageError(f"--login {path} is not an option file of the mysql client") from None
    return [(section, key, _plain(value)) for section in parser.sections()
            for key, value in parser.items(section)]  # fmt: skip


def _plain(value: object) -> str:
    text = str(value or "").strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text
