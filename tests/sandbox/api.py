"""`Sandbox`: what tests and the command line use."""

import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Optional

from .assemble import read_version
from .errors import SandboxError
from .flavour import SERVICES
from .guest import Guest
from .home import find_home
from .host import Host, find_spec, refuse_clash
from .image import ensure_image
from .matomo import DOCROOT
from .network import DEFAULT_NAME
from .release import NEWER_SUITE, Release, load
from .say import stage
from .tools import require_root, require_tools

_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\\\": "\\", "\\0": "\0"}


class Sandbox:
    """A throw-away host by name."""

    def __init__(self, name: str = DEFAULT_NAME, address: Optional[str] = None) -> None:
        require_root()
        self.home = find_home()
        self.host = Host(self.home, find_spec(self.home, name, address))
        self.name = name

    def up(self) -> "Sandbox":
        """Build what is missing, and start what does not run."""
        require_tools(self.home)
        refuse_clash(self.home, self.host.spec)
        image = ensure_image(self.home, self.host.spec.kind)
        with self._lock():
            self.guest.network.create()  # first: it refuses an address that is taken
            self.host.create(image)
            if not all(self.guest.running().values()):
                with stage(f"starting {self.name} at {self.address}"):
                    self.guest.start()
        return self

    def down(self) -> None:
        """Stop the services cleanly, then the host; its files stay."""
        with self._lock():
            self.guest.stop()
            self.guest.network.remove()

    def reset(self) -> None:
        """Back to what it was after the first `up`, and running."""
        self.require()
        image = ensure_image(self.home, self.host.spec.kind)
        with self._lock(), stage(f"resetting {self.name}"):
            self.guest.kill()  # nothing of it will be kept: no need to stop it gently
            self.guest.network.create()
            self.guest.network.restore()
            self.host.restore(image)
            self.guest.start()

    def destroy(self) -> None:
        """Remove the host; the image stays."""
        with self._lock():
            self.host.destroy()

    def require(self) -> None:
        """Refuse to go on with a host that was never made."""
        if not self.host.exists():
            raise SandboxError(f"there is no host '{self.name}': `up` makes it")

    def status(self) -> dict[str, object]:
        """What runs, without changing anything."""
        pid = self.guest.pid()
        state = "up" if pid else "down" if self.host.exists() else "absent"
        return {
            "name": self.name,
            "address": self.address,
            "state": state,
            "pid": pid,
            "services": self.guest.running(),
            "matomo": self.installed_version if self.host.exists() else None,
            "newer release": self._newer.version if self._newer else None,
        }

    def exec(
        self,
        *argv: str,
        input: Optional[bytes] = None,
        check: bool = True,
        user: Optional[str] = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the host, as root unless `user` says otherwise.

        With `check` a failure raises SandboxError, with the last line of what it said.
        """
        return self.guest.run(argv, check=check, stdin=input, user=user)

    def sql(self, statement: str) -> list[list[str]]:
        """Run SQL as MariaDB's root; the rows as text (NULL is "NULL")."""
        out = self.exec("mariadb", "--batch", "--skip-column-names", input=statement.encode())
        return [[_plain(cell) for cell in row.split("\t")] for row in out.stdout.splitlines()]

    def service(self, name: str, action: str) -> None:
        """`stop` or `start` one of the host's services, and wait until that is so."""
        if name not in self.host.spec.kind.services or action not in ("start", "stop"):
            raise SandboxError(f"no such service or action: {name} {action}")
        if action == "start":
            self.guest.start_service(SERVICES[name])
        else:
            self.guest.stop_service(SERVICES[name])

    def drop_link(self) -> None:
        """Let all its packets vanish: connections hang, they are not refused."""
        self.guest.network.drop()

    def restore_link(self) -> None:
        """Undo `drop_link`."""
        self.guest.network.restore()

    def kill_ssh_sessions(self) -> None:
        """Kill the sessions of sshd, not its listener, nor what they started."""
        # The process of the logged-in user, not sshd's own monitor of it: to sshd that would be
        # a crash, for which it shuts out the address (PerSourcePenalties).
        self.exec("pkill", "-KILL", "-f", "^sshd-session: [^ ]*@", check=False)

    @property
    def guest(self) -> Guest:
        """The running side of the host."""
        return self.host.guest

    @property
    def address(self) -> str:
        """The host's address."""
        return self.host.spec.address

    @property
    def gateway(self) -> str:
        """This machine's address in the host's network."""
        return self.guest.network.gateway

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F` and `fab --ssh-config`."""
        return self.host.access.ssh_config

    @property
    def known_hosts(self) -> Path:
        """The host's public keys."""
        return self.host.access.known_hosts

    @property
    def identity(self) -> Path:
        """The client's private key."""
        return self.host.access.identity

    @property
    def root(self) -> Path:
        """The host's root tree as this machine sees it."""
        return self.host.root

    @property
    def docroot(self) -> str:
        """Matomo's folder, as the host sees it."""
        return DOCROOT

    @property
    def release_zip(self) -> Path:
        """The newer release."""
        return Path(self._require_newer().path)

    @property
    def release_version(self) -> str:
        """The version of the newer release."""
        return self._require_newer().version

    @property
    def installed_version(self) -> str:
        """The version of the files in the docroot now."""
        return read_version(self.root / DOCROOT.lstrip("/"))

    @property
    def token(self) -> str:
        """A superuser's API token."""
        return (self.host.folder / "token").read_text().strip()

    @property
    def _newer(self) -> Optional[Release]:
        return load(self.home, NEWER_SUITE)

    def _require_newer(self) -> Release:
        if self._newer is None:
            raise SandboxError("no newer release yet: `up` or `build` makes it")
        return self._newer

    def _lock(self) -> AbstractContextManager[None]:
        return self.home.lock(f"host-{self.name}")


def _plain(cell: str) -> str:
    out, rest = "", cell
    while "\\" in rest:
        head, _, tail = rest.partition("\\")
        out += head + _ESCAPES.get("\\" + tail[:1], "\\" + tail[:1])
        rest = tail[1:]
    return out + rest
