"""Fixtures: the real throw-away Matomo host, ways to reach it, and the fab command itself."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from matops.host.shell import Host
from matops.matomo.site import Site, open_site
from matops.settings import Settings
from tests import order
from tests.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
PASSWORDS = {"ops2": "ops2-pw"}

HostFactory = Callable[..., Host]
SiteFactory = Callable[..., Site]


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C reaches what tests start, also where the shell took it from all that it runs in the
    background. xdist's own order of files is by their number of tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config.option, "loadscopereorder"):  # before 3.7 it had none
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)  # pytest itself has put those of one database server together
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, where there are several workers."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = [items[place] for place in order.by_length(str(item.path) for item in items)]


def host_name() -> str:
    """``test``; a host of its own for each further pytest worker (``pytest -n``)."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return os.environ.get("MATOPS_TEST_HOST", "test") + ("" if worker == "0" else f"-{worker}")


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """What works in a process of its own on the host may set it; here the next test is next."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """The test host, up and pristine. Built on first use (minutes)."""
    box = Sandbox(host_name())
    existed = box.host.exists()
    box.up()
    if existed:
        box.reset()
    return box


@pytest.fixture
def pristine(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The test host, put back to pristine afterwards (seconds)."""
    yield sandbox
    sandbox.reset()


def connection(sandbox: Sandbox, user: str = "ops", **overrides: Any) -> Any:
    """A Fabric connection as ``fab --ssh-config … -H …`` would make it."""
    from fabric import Config, Connection

    alias = sandbox.name if user == "ops" else f"{sandbox.name}-{user}"
    config = Config(runtime_ssh_path=str(sandbox.ssh_config))
    return Connection(alias, config=config, **overrides)


@pytest.fixture
def host_factory(sandbox: Sandbox) -> Iterator[HostFactory]:
    """``host_factory(user="ops", password=None)``: a Host over SSH; closed afterwards."""
    from matops.host.ssh import SshLink

    made: list[Host] = []

    def make(user: str = "ops", password: Optional[str] = None, **options: Any) -> Host:
        known = password if password is not None else PASSWORDS.get(user)
        link = SshLink(connection(sandbox, user))
        host = Host(link, sudo_password=lambda: known, **options)
        made.append(host)
        return host

    yield make
    for host in made:
        host.close()


@pytest.fixture
def site_factory(host_factory: HostFactory) -> SiteFactory:
    """``site_factory(user="ops", settings=Settings(), **asked)``: the installation there."""

    def make(user: str = "ops", settings: Optional[Settings] = None, **asked: Any) -> Site:
        return open_site(host_factory(user), settings or Settings(), asked=asked)

    return make


def environment(settings: Path, columns: int = 200) -> dict[str, str]:
    """For a command of ours. Bytecode is kept from one to the next: half of its start, else."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    ours = {"MATOPS_CONFIG": str(settings), "COLUMNS": str(columns)}
    return {**kept, **ours, "PYTHONPYCACHEPREFIX": _bytecode()}


@functools.cache
def _bytecode() -> str:
    folder = tempfile.mkdtemp(prefix="matops-bytecode-")
    os.chmod(folder, 0o755)  # who is not root may read it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(frozen=True)
class Ran:
    """What a command left. ``all`` = both streams."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams, for looking for a word."""
        return self.out + self.err


@dataclass
class Fab:
    """The ``fab`` command of this checkout, as an operator types it."""

    sandbox: Sandbox
    backups: Path
    settings: Path

    def environment(self) -> dict[str, str]:
        """Without anything of the person running the tests."""
        return environment(self.settings, columns=160)

    def command(self, *words: str, user: str = "ops", flags: tuple[str, ...] = ()) -> list[str]:
        """The words to run."""
        alias = self.sandbox.name if user == "ops" else f"{self.sandbox.name}-{user}"
        program = str(Path(sys.executable).parent / "fab")
        ssh = str(self.sandbox.ssh_config)
        return [program, "--ssh-config", ssh, *flags, "-H", alias, *words]

    def __call__(
        self, *words: str, user: str = "ops", flags: tuple[str, ...] = (), timeout: float = 300
    ) -> Ran:
        done = subprocess.run(
            self.command(*words, user=user, flags=flags),
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def configure(self, text: str) -> None:
        """Adds settings to this test's matops.yaml."""
        with self.settings.open("a") as file:
            file.write(text + "\n")


@pytest.fixture
def fab(sandbox: Sandbox, tmp_path: Path) -> Fab:
    """``fab("prep", "--dry-run", user="ops2")``: its exit code and output."""
    settings = tmp_path / "matops.yaml"
    settings.write_text(f"backup_dir: {tmp_path / 'backups'}\n")
    return Fab(sandbox, tmp_path / "backups", settings)


def one_line(ran: Ran) -> str:
    """The error an operator sees: exactly one line on stderr, and no traceback."""
    lines = [line for line in ran.err.splitlines() if line.strip()]
    assert "Traceback" not in ran.all, ran.all
    assert len(lines) == 1, ran.all
    return lines[0]
