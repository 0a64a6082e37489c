"""One connection to a MySQL or MariaDB server, with errors an operator can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import pymysql
import pymysql.cursors

from matops import sqlfile
from matops.errors import MatopsError, OutcomeUnknown, PrivilegeMissing
from matops.mysql.quote import fill

Row = dict[str, Any]

_NO_SERVER = (2002, 2003, 2005)
_LOST = (2006, 2013)
_DENIED = (1044, 1045, 1142, 1143, 1227, 1370, 1698)


@dataclass(frozen=True)
class Address:
    """Where a database is and who asks. The password is never shown (``repr`` hides it)."""

    host: str = "127.0.0.1"
    port: int = 3306
    socket: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    charset: str = "utf8mb4"
    ssl_ca: str = ""
    ssl_cert: str = ""
    ssl_key: str = ""
    ssl_verify: bool = True

    @property
    def shown(self) -> str:
        """``user@host:port/schema``, for messages."""
        where = self.socket or f"{self.host}:{self.port}"
        return f"{self.user}@{where}/{self.schema}"


class Session:
    """An open connection: autocommit, UTC, bounded waits. Use as a context manager."""

    def __init__(self, address: Address, *, timeout: Optional[int] = 60) -> None:
        """Connects. ``timeout``: seconds to wait for an answer (None: for ever, for DDL).

        Raises MatopsError (server down, unknown schema), PrivilegeMissing (account refused).
        """
        self.address = address
        self._connection = _connect(address, timeout)
        version = str(self.value("server_version"))
        self.version_text = version
        self.flavour = "mariadb" if "mariadb" in version.lower() else "mysql"

    def rows(self, name: str, args: Sequence[Any] = (), **names: str) -> list[Row]:
        """All rows of statement ``sql/<name>``; ``names`` fill its ``{{marks}}``."""
        with self._cursor(name, args, names) as cursor:
            return list(cursor.fetchall())

    def value(self, name: str, args: Sequence[Any] = (), **names: str) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(name, args, **names)
        return next(iter(found[0].values())) if found else None

    def execute(self, name: str, args: Sequence[Any] = (), **names: str) -> int:
        """Runs a changing statement; how many rows it changed."""
        with self._cursor(name, args, names) as cursor:
            return int(cursor.rowcount)

    @contextlib.contextmanager
    def _cursor(self, name: str, args: Sequence[Any], names: dict[str, str]) -> Any:
        statement = sqlfile.load(name, getattr(self, "flavour", ""))
        text = fill(statement, names, bound=bool(args))
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(text, args or None)
            except (pymysql.Error, RuntimeError) as error:
                raise explain(error, self.address, name) from None
            yield cursor

    def close(self) -> None:
        """Closes the connection; safe to call twice."""
        with contextlib.suppress(pymysql.Error, OSError):
            self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def _connect(address: Address, timeout: Optional[int]) -> Any:
    secure: dict[str, Any] = {}
    if address.ssl_ca:
        secure = {"ssl_ca": address.ssl_ca, "ssl_verify_cert": address.ssl_verify}
        if address.ssl_cert:
            secure.update(ssl_cert=address.ssl_cert, ssl_key=address.ssl_key)
    try:
        return pymysql.connect(
            host=address.host or None,
            port=address.port,
            unix_socket=address.socket or None,
            user=address.user,
            # As bytes: PyMySQL would encode it as latin-1, PHP sends what stands in the file.
            password=address.password.encode(),
            database=address.schema or None,
            charset=address.charset,
            # Without autocommit our own read view would be the metadata-lock holder.
            autocommit=True,
            connect_timeout=10,
            read_timeout=timeout,
            write_timeout=timeout,
            init_command="SET time_zone = '+00:00'",
            cursorclass=pymysql.cursors.DictCursor,
            **secure,
        )
    except (pymysql.Error, RuntimeError, OSError) as error:
        raise explain(error, address, "connect") from None


def explain(error: Exception, address: Address, doing: str) -> MatopsError:
    """One line for a database error. Never holds the password."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    words = " ".join(str(error.args[-1] if error.args else error).split())
    where = f"database {address.shown}"
    if number in _NO_SERVER:
        return MatopsError(
            f"{where} cannot be reached: {words}",
            next="start the database, or check [database] in config.ini.php",
        )
    if number in _DENIED:
        return PrivilegeMissing(f"{where} refused '{doing}' ({number}): {words}")
    if number in _LOST:
        return OutcomeUnknown(
            f"{where}: the connection was lost during '{doing}' ({number})",
            state="The statement may have gone on",
            next="run the task again: it looks first",
        )
    return MatopsError(f"{where}: '{doing}' failed ({number}): {words}")
