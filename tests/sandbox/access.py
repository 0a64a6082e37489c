"""SSH keys and client configuration of one host; they stay the same through every reset."""

import os
from dataclasses import dataclass
from pathlib import Path

from .base import USERS
from .proc import run

_KINDS = ("ed25519", "ecdsa", "rsa")
_ENTRY = """Host {alias}
    HostName {address}
    User {user}
    IdentityFile {identity}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    StrictHostKeyChecking yes

"""


@dataclass(frozen=True)
class Access:
    """The files below hosts/<name>/ that let a client in."""

    folder: Path

    @property
    def identity(self) -> Path:
        """The client's private key."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The host's real public keys."""
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """What `ssh -F` and `fab --ssh-config` take."""
        return self.folder / "ssh_config"

    def create(self, name: str, address: str) -> None:
        """Make the keys that are missing, and the client's files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _keygen(self.identity, "ed25519", f"sandbox-{name}")
        (self.folder / "host_keys").mkdir(mode=0o700, exist_ok=True)
        for kind in _KINDS:
            _keygen(self._host_key(kind), kind, f"root@{name}")
        publics = [Path(f"{self._host_key(kind)}.pub").read_text() for kind in _KINDS]
        keys = [" ".join(text.split()[:2]) for text in publics]
        self.known_hosts.write_text("".join(f"{address},{name} {key}\n" for key in keys))
        self.ssh_config.write_text(self._entries(name, address))

    def install(self, root: Path) -> None:
        """Put the host keys and the client's public key into a root tree."""
        _no_penalties(root)
        for kind in _KINDS:
            for suffix, mode in (("", 0o600), (".pub", 0o644)):
                target = root / f"etc/ssh/ssh_host_{kind}_key{suffix}"
                target.write_bytes(Path(f"{self._host_key(kind)}{suffix}").read_bytes())
                target.chmod(mode)
        public = Path(f"{self.identity}.pub").read_text()
        for home in ["root", *(f"home/{name}" for name, _ in USERS)]:
            _authorize(root / home, public)

    def _host_key(self, kind: str) -> Path:
        return self.folder / "host_keys" / f"ssh_host_{kind}_key"

    def _entries(self, name: str, address: str) -> str:
        users = {name: "ops", f"{name}-ops2": "ops2", f"{name}-nosudo": "nosudo"}
        users[f"{name}-root"] = "root"
        return "".join(
            _ENTRY.format(
                alias=alias,
                address=address,
                user=user,
                identity=self.identity,
                known_hosts=self.known_hosts,
            )
            for alias, user in users.items()
        )


def _no_penalties(root: Path) -> None:
    # Tests cut sessions on purpose; sshd would then shut this address out for minutes.
    folder = root / "etc/ssh/sshd_config.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "no-penalties.conf").write_text("PerSourcePenalties no\nMaxStartups 100\n")


def _keygen(path: Path, kind: str, comment: str) -> None:
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", str(path)])


def _authorize(home: Path, public: str) -> None:
    owner = home.stat()
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = folder / "authorized_keys"
    keys.write_text(public)
    keys.chmod(0o600)
    for path in (folder, keys):
        os.chown(path, owner.st_uid, owner.st_gid)
