"""Real database servers for tests: MariaDB and MySQL, each with its own data directory.

    server = start("mysql", options={"innodb_buffer_pool_size": "256M"})
    server.sql("CREATE DATABASE matomo")
    session = Session(server.address(schema="matomo"))
    server.stop()

A prepared data directory is copied (under two seconds a server). They run as ``nobody`` where
the tests are root, listen on 127.0.0.1 only, and die with the process that started them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pymysql
import pymysql.constants.CLIENT
import pymysql.cursors

from matops.mysql.session import Address
from tests.db import accounts, template
from tests.db.install_packages import SERVERS, InstallError, command, home

PATIENCE = 90  # seconds for a server to come up or go down

# Small and fast; what a test is about it sets itself.
_COMMON = {
    "bind_address": "127.0.0.1",
    "skip_name_resolve": "ON",
    "innodb_buffer_pool_size": "192M",
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_flush_method": "O_DIRECT",
    "sync_binlog": "0",
    "secure_file_priv": "",
    "character_set_server": "utf8mb4",
}


class Server:
    """One running server. ``flavour`` mysql or mariadb, ``version`` as VERSION() says."""

    def __init__(self, flavour: str, folder: Path, options: dict[str, str], kept: bool) -> None:
        self.flavour = flavour
        self.folder = folder
        self.datadir = folder / "data"
        self.tmpdir = folder / "tmp"
        self.socket = str(folder / "s")
        self.port = _free_port()
        self.options = options
        self._kept = kept
        self._process: subprocess.Popen[bytes] | None = None
        self._kept_links = threading.local()
        self.version = ""
        self.zone = "UTC"

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def boot(self) -> Server:
        """Starts it and waits until it answers. InstallError with the end of its error log."""
        words = [f"--{k}={v}" for k, v in self._settings().items()]
        if "log_bin" not in self.options:
            words.append("--skip-log-bin")
        program = command(self.flavour, SERVERS[self.flavour], "--no-defaults", *words)
        self._process = subprocess.Popen(
            [*template.as_nobody("--pdeathsig", "KILL"), *program],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "TZ": self.zone},
        )  # fmt: skip
        self._wait_until_up()
        return self

    def address(self, user: str = "root", password: str = "", schema: str = "",
                tcp: bool = True) -> Address:  # fmt: skip
        """Over TCP, or through the socket."""
        return Address(
            host="127.0.0.1" if tcp else "localhost", port=self.port,
            socket="" if tcp else self.socket, user=user, password=password, schema=schema,
        )  # fmt: skip

    def sql(self, text: str, schema: str = "") -> list[dict[str, Any]]:
        """Runs statements (several with ``;``) as root; the rows of the last one."""
        rows: list[dict[str, Any]] = []
        with contextlib.closing(self.connect(schema=schema)) as connection:
            cursor = connection.cursor()
            cursor.execute("SET SESSION lock_wait_timeout = 30")  # a failed test shall end
            cursor.execute(text)
            while True:
                rows = list(cursor.fetchall())
                if not cursor.nextset():
                    return rows

    def peek(self, text: str) -> list[dict[str, Any]]:
        """One statement over a connection that is kept (one a thread): for those who ask again and
        again until something is so, and must not be late because they connect."""
        for attempt in (1, 2):
            if not hasattr(self._kept_links, "link"):
                self._kept_links.link = self.connect()
            try:
                with self._kept_links.link.cursor() as cursor:
                    cursor.execute(text)
                    return list(cursor.fetchall())
            except pymysql.Error:  # it may be the one of a server that was killed since
                del self._kept_links.link
                if attempt == 2:
                    raise
        raise AssertionError

    def connect(self, user: str = "root", password: str = "", schema: str = "",
                autocommit: bool = True) -> Any:  # fmt: skip
        """A plain pymysql connection: for the clients that a test plays."""
        return pymysql.connect(
            unix_socket=self.socket, user=user, password=password, database=schema or None,
            autocommit=autocommit, cursorclass=pymysql.cursors.DictCursor, charset="utf8mb4",
            client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        )  # fmt: skip

    def account(self, kind: str, schema: str = "matomo") -> Address:
        """The address of a test account: ``root``, ``matomo`` or ``managed`` (see accounts)."""
        if kind == "root":
            return self.address(schema=schema)
        self.sql(accounts.statements(kind, self.flavour, schema))
        return self.address(kind, accounts.PASSWORD, schema)

    def client(self, program: str, *words: str) -> list[str]:
        """The command line of a client program (``mysqlcheck``, ``mysqldump``) as root."""
        login = ["--no-defaults", f"--socket={self.socket}", "--user=root"]
        return command(self.flavour, f"usr/bin/{program}", *login, *words)

    def kill9(self) -> None:
        """The server dies as in a crash."""
        self._end(signal.SIGKILL)

    def shutdown(self) -> None:
        """An orderly end; the data directory stays."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Starts it again (after ``kill9``, too) with the same data, port and options."""
        self.shutdown()
        self.boot()

    def stop(self) -> None:
        """Ends it; its data directory goes unless it was to be kept. Safe to call twice."""
        self._end(signal.SIGTERM if self._kept else signal.SIGKILL)
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def error_log(self) -> str:
        """What the server wrote."""
        path = self.folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _settings(self) -> dict[str, str]:
        own = {
            "datadir": str(self.datadir), "socket": self.socket, "port": str(self.port),
            "pid_file": str(self.folder / "pid"), "log_error": str(self.folder / "error.log"),
            "tmpdir": str(self.tmpdir), **template.paths(self.flavour),
        }  # fmt: skip
        return {**_COMMON, **template.OF[self.flavour], **own, **self.options}

    def _wait_until_up(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            with contextlib.suppress(pymysql.Error, OSError):
                self.version = str(self.sql("SELECT VERSION() AS v")[0]["v"])
                return
            time.sleep(0.05)
        tail = " | ".join(self.error_log().splitlines()[-8:])
        raise InstallError(f"{self.flavour} did not start: {tail}")


def start(
    flavour: str, *, options: dict[str, str] | None = None, keep: str = "", zone: str = "UTC"
) -> Server:
    """A new server of that flavour, up and answering.

    ``options``: server variables (``{"log_bin": "binlog"}``; the binary log is off by default).
    ``zone``: the machine's time zone as the server sees it.
    ``keep``: a name under which its data stays from run to run, for benches.
    """
    prepared = template.datadir(flavour)
    if keep:
        folder = home() / f"{flavour}.kept.{keep}"
        folder.mkdir(exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix=f"matops-{flavour}-"))
    if not (folder / "data").exists():
        partial = folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(prepared), str(partial)], check=True)
        partial.rename(folder / "data")
    (folder / "tmp").mkdir(exist_ok=True)
    template.give_to_nobody(folder, folder / "tmp")
    server = Server(flavour, folder, dict(options or {}), bool(keep))
    server.zone = zone
    atexit.register(server.stop)
    try:
        return server.boot()
    except BaseException:
        server.stop()
        raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
