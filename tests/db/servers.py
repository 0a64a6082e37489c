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
import time
from pathlib import Path
from typing import Any

import pymysql
import pymysql.constants.CLIENT
import pymysql.cursors

from matops.mysql.session import Address
from tests.db import accounts
from tests.db.install_packages import SERVERS, InstallError, command, home, locked, root

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
_OF = {
    "mariadb": {"innodb_log_file_size": "96M", "innodb_io_capacity": "4000"},
    "mysql": {"innodb_redo_log_capacity": "256M", "mysqlx": "OFF", "innodb_io_capacity": "4000"},
}
_ROOT_ACCOUNT = """\
CREATE USER IF NOT EXISTS 'root'@'localhost' IDENTIFIED BY '';
CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION;
GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS matomo DEFAULT CHARACTER SET utf8mb4;
"""


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
            [*_as_nobody("--pdeathsig", "KILL"), *program],
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
            "tmpdir": str(self.tmpdir), **paths(self.flavour),
        }  # fmt: skip
        return {**_COMMON, **_OF[self.flavour], **own, **self.options}

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
    template = _template(flavour)
    if keep:
        folder = home() / f"{flavour}.kept.{keep}"
        folder.mkdir(exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix=f"matops-{flavour}-"))
    if not (folder / "data").exists():
        partial = folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(partial)], check=True)
        partial.rename(folder / "data")
    (folder / "tmp").mkdir(exist_ok=True)
    _give_to_nobody(folder, folder / "tmp")
    server = Server(flavour, folder, dict(options or {}), bool(keep))
    server.zone = zone
    atexit.register(server.stop)
    try:
        return server.boot()
    except BaseException:
        server.stop()
        raise


def paths(flavour: str) -> dict[str, str]:
    """Where the unpacked server finds its own files."""
    base = root(flavour)
    share = base / "usr/share/mysql"
    return {
        "basedir": str(base / "usr"),
        "lc_messages_dir": str(share),
        "character_sets_dir": str(share / "charsets"),
        "plugin_dir": str(base / "usr/lib/mysql/plugin"),
    }


def _template(flavour: str) -> Path:
    """An initialised data directory, made once."""
    base = root(flavour)
    done = home() / f"{flavour}.data"
    with locked(f"{flavour}.data"):
        if not done.exists():
            partial = home() / f"{flavour}.data.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _give_to_nobody(partial)
            _initialise(flavour, base, partial)
            partial.rename(done)
    return done


def _initialise(flavour: str, base: Path, datadir: Path) -> None:
    options = {"datadir": str(datadir), **_OF[flavour], **paths(flavour)}
    if flavour == "mysql":
        options["innodb_redo_log_capacity"] = "8M"  # copied for every server: keep it small
    words = ["--no-defaults", *(f"--{k}={v}" for k, v in options.items())]
    if flavour == "mysql":
        script = datadir.with_suffix(".init")
        script.write_text(_ROOT_ACCOUNT)
        text = ""
        words += ["--initialize-insecure", f"--init-file={script}", "--log-error-verbosity=1"]
    else:
        share = base / "usr/share/mysql"
        names = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data",
                 "maria_add_gis_sp_bootstrap", "mysql_sys_schema")  # fmt: skip
        text = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        text += "\n".join((share / f"{name}.sql").read_text() for name in names)
        text += (
            f"\nFLUSH PRIVILEGES;\nDELETE FROM mysql.global_priv WHERE User='';\n{_ROOT_ACCOUNT}"
        )
        words += ["--bootstrap", "--skip-log-bin"]
    done = subprocess.run(
        [*_as_nobody(), *command(flavour, SERVERS[flavour], *words)],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    datadir.with_suffix(".init").unlink(missing_ok=True)
    if done.returncode:
        raise InstallError(f"{flavour} could not be initialised: {done.stderr[-800:]}")


def _as_nobody(*more: str) -> list[str]:
    who = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *who, *more] if who or more else []


def _give_to_nobody(*folders: Path) -> None:
    if os.geteuid() == 0:
        for folder in folders:
            shutil.chown(folder, "nobody", "nogroup")
            folder.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
