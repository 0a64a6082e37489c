"""One connection to a MySQL or MariaDB server, with errors an operator can act on."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

import pymysql
import pymysql.cursors

from matops import sqlfile
from matops.errors import MatopsError, OutcomeUnknown, PrivilegeMissing
from matops.mysql.quote import fill

Row = dict[str, Any]

_NO_SERVER = (2002, 2003, 2005)
_LOST = (2006, 2013)
GREETING = 30
"""Seconds for a server to greet and to let us in. One that is frozen accepts, and says nothing."""
_SETUP = (
    "SET time_zone = '+00:00', "
    # Ours are idle while a rebuild runs: closed by the server, they would lose their GET_LOCK.
    "SESSION wait_timeout = 28800"
)
NO_SUCH_THREAD = 1094
_UNREADABLE = 3854
"""MySQL 9: nobody can read INNODB_TRX and information_schema.processlist while a statement with a
4-byte character (an emoji in a page title) runs. Such statements take milliseconds."""
_AGAIN, _PAUSE = 8, 0.12  # INNODB_TRX is renewed only when nobody has read it for 0.1 s
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


class DatabaseError(MatopsError):
    """The server said no. ``number`` is its error number (1205: lock wait timeout, …)."""

    number = 0


class NotReachable(DatabaseError):
    """There is no server there, or it is down."""


class AccessDenied(DatabaseError, PrivilegeMissing):
    """The account may not do that."""


class ConnectionCut(DatabaseError, OutcomeUnknown):
    """The connection went away during a statement, which may have gone on."""


class Session:
    """An open connection: autocommit, UTC, bounded waits. Use as a context manager."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: Optional[int] = 60,
        variables: Optional[Mapping[str, Union[int, float, str]]] = None,
    ) -> None:
        """Connects. ``timeout``: seconds to wait for an answer (None: for ever, for DDL).

        ``variables``: session variables to set, now and after every ``reconnect``.
        Raises NotReachable, DatabaseError (unknown schema), AccessDenied.
        """
        self.address = address
        self._timeout = timeout
        self._variables: dict[str, Union[int, float, str]] = {}
        self._connection = _connect(address, timeout)
        version = str(self.value("server_version"))
        self.version_text = version
        self.flavour = "mariadb" if "mariadb" in version.lower() else "mysql"
        self.set(variables or {})
        self._patient()

    @property
    def connection_id(self) -> int:
        """This connection's number in the server's process list."""
        return int(self._connection.thread_id())

    def rows(self, name: str, args: Sequence[Any] = (), **names: str) -> list[Row]:
        """All rows of statement ``sql/<name>``; ``names`` fill its ``{{marks}}``."""
        for left in reversed(range(_AGAIN)):
            try:
                with self._statement(name, args, names) as cursor:
                    return list(cursor.fetchall())
            except DatabaseError as error:
                if error.number != _UNREADABLE or not left:
                    raise
            time.sleep(_PAUSE)
        raise AssertionError("not reached")

    def value(self, name: str, args: Sequence[Any] = (), **names: str) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(name, args, **names)
        return next(iter(found[0].values())) if found else None

    def execute(self, name: str, args: Sequence[Any] = (), **names: str) -> int:
        """Runs a changing statement; how many rows it changed."""
        with self._statement(name, args, names) as cursor:
            return int(cursor.rowcount)

    def run(self, text: str, args: Sequence[Any] = (), *, doing: str = "") -> list[Row]:
        """All rows of a statement that was built (with ``quote``), not loaded.

        ``doing`` names it in errors. ``OPTIMIZE`` and the like report failures as rows.
        """
        with self._cursor(text, args, doing or " ".join(text.split())[:60]) as cursor:
            return list(cursor.fetchall())

    def fetch(
        self, text: str, limit: int, killer: Session
    ) -> tuple[list[str], list[tuple[Any, ...]], bool]:
        """(column names, at most ``limit`` rows, whether there were more) of a statement.

        Rows are not collected beforehand; what is too much is cancelled through ``killer``.
        """
        try:
            with self._connection.cursor(pymysql.cursors.SSCursor) as cursor:
                cursor.execute(text)
                columns = [column[0] for column in cursor.description or ()]
                rows = list(cursor.fetchmany(limit + 1)) if columns else []
                if len(rows) > limit:
                    killer.kill_query(self.connection_id)
                    with contextlib.suppress(pymysql.Error):
                        while cursor.fetchmany(1000):
                            pass
        except (pymysql.Error, RuntimeError, OSError) as error:
            raise explain(error, self.address, " ".join(text.split())[:60]) from None
        return columns, rows[:limit], len(rows) > limit

    def set(self, variables: Mapping[str, Union[int, float, str]]) -> None:
        """Sets session variables; ``reconnect`` sets them again."""
        for name, value in variables.items():
            self.execute("session_variable", (value,), variable=name)
            self._variables[name] = value

    def reconnect(self) -> None:
        """A new connection (another ``connection_id``) with the same session variables.

        Temporary tables, user locks and the old connection's statement are not taken over.
        """
        self.close()
        self._connection = _connect(self.address, self._timeout)
        self.set(dict(self._variables))
        self._patient()

    def _patient(self) -> None:
        # Set up within GREETING; from here on an answer may take as long as was asked for.
        self._connection._read_timeout = self._timeout

    def kill_query(self, connection_id: int) -> bool:
        """Cancels the statement of another connection; False where it was gone already.

        A waiting or copying statement ends within about a second, and undoes what it did.
        """
        return self._kill("kill_query", connection_id)

    def kill_connection(self, connection_id: int) -> bool:
        """Ends another connection, its transaction is rolled back; False where it was gone."""
        return self._kill("kill_connection", connection_id)

    def _kill(self, name: str, connection_id: int) -> bool:
        try:
            self.execute(name, (connection_id,))
        except DatabaseError as error:
            if error.number == NO_SUCH_THREAD:
                return False
            raise
        return True

    def _statement(self, name: str, args: Sequence[Any], names: dict[str, str]) -> Any:
        text = sqlfile.load(name, getattr(self, "flavour", ""))
        return self._cursor(fill(text, names, bound=bool(args)), args, name)

    @contextlib.contextmanager
    def _cursor(self, text: str, args: Sequence[Any], doing: str) -> Any:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(text, args or None)
                yield cursor
        except (pymysql.Error, RuntimeError, OSError) as error:
            raise explain(error, self.address, doing) from None

    def close(self) -> None:
        """Closes the connection; safe to call twice. A running statement goes on there."""
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
        connection = pymysql.connect(
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
            read_timeout=timeout or GREETING,
            write_timeout=timeout,
            init_command=_SETUP,
            cursorclass=pymysql.cursors.DictCursor,
            **secure,
        )
    except (pymysql.Error, RuntimeError, OSError) as error:
        raise explain(error, address, "connect") from None
    _keep_alive(connection)
    return connection


def _keep_alive(connection: Any) -> None:
    # A rebuild is silent for hours: without probes a NAT router forgets the connection
    # (the kernel's own default is two hours). Nothing breaks where it cannot be set.
    with contextlib.suppress(AttributeError, OSError):
        for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20)):
            connection._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def explain(error: Exception, address: Address, doing: str) -> DatabaseError:
    """One line for a database error. Never holds the password."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    words = " ".join(str(error.args[-1] if error.args else error).split())
    where = f"database {address.shown}"
    problem: DatabaseError
    if number in _NO_SERVER:
        problem = NotReachable(
            f"{where} cannot be reached: {words}",
            next="start the database, or check [database] in config.ini.php",
        )
    elif number in _DENIED:
        problem = AccessDenied(f"{where} refused '{doing}' ({number}): {words}")
    elif number in _LOST or isinstance(error, (pymysql.err.InterfaceError, OSError)):
        problem = ConnectionCut(
            f"{where}: the connection was lost during '{doing}' ({number})",
            state="The statement may have gone on",
            next="run the task again: it looks first",
        )
    else:
        problem = DatabaseError(f"{where}: '{doing}' failed ({number}): {words}")
    problem.number = number
    return problem
