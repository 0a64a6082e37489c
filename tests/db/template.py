"""An initialised data directory for each flavour, made once and copied for every server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.db.install_packages import SERVERS, InstallError, command, home, locked, root

OF = {
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


def datadir(flavour: str) -> Path:
    """An initialised data directory, made once."""
    base = root(flavour)
    done = home() / f"{flavour}.data"
    with locked(f"{flavour}.data"):
        if not done.exists():
            partial = home() / f"{flavour}.data.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            give_to_nobody(partial)
            _initialise(flavour, base, partial)
            partial.rename(done)
    return done


def _initialise(flavour: str, base: Path, datadir: Path) -> None:
    options = {"datadir": str(datadir), **OF[flavour], **paths(flavour)}
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
        [*as_nobody(), *command(flavour, SERVERS[flavour], *words)],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    datadir.with_suffix(".init").unlink(missing_ok=True)
    if done.returncode:
        raise InstallError(f"{flavour} could not be initialised: {done.stderr[-800:]}")


def as_nobody(*more: str) -> list[str]:
    who = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *who, *more] if who or more else []


def give_to_nobody(*folders: Path) -> None:
    if os.geteuid() == 0:
        for folder in folders:
            shutil.chown(folder, "nobody", "nogroup")
            folder.chmod(0o755)
