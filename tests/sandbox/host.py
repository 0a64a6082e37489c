"""One throw-away host: its folder, made from an image, and brought back to it."""

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from .access import Access
from .errors import SandboxError
from .flavour import ALL_IN_ONE, FLAVOURS, Flavour
from .guest import Guest
from .home import Home
from .image import BUILD_NAME, Image
from .install import HOST_NAME
from .matomo import trust_address
from .network import Network, check_address, default_address
from .say import say, stage
from .trees import copy_tree, mirror_tree, remove

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class HostSpec:
    """What a host is: enough to build it again, or to find it."""

    name: str
    address: str
    flavour: str = ALL_IN_ONE.name

    @property
    def kind(self) -> Flavour:
        """The flavour itself."""
        return FLAVOURS[self.flavour]


class Host:
    """The folder hosts/<name>/ and the guest that runs from it."""

    def __init__(self, home: Home, spec: HostSpec) -> None:
        self.home, self.spec = home, spec
        self.folder = home.hosts / spec.name
        self.root = self.folder / "root"
        self.access = Access(self.folder)
        self.network = Network(spec.name, spec.address, home.scope)
        self.guest = Guest(self.root, self.folder / "run", self.network, spec.kind.daemons)

    def exists(self) -> bool:
        """Has it been created?"""
        return self.root.is_dir()

    def create(self, image: Image) -> None:
        """Copy the image, unless that is done; finish a reset that was interrupted."""
        if self._resetting.exists():
            say(f"a reset of {self.spec.name} was interrupted: finishing it")
            self.restore(image)
        if self.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / "root.partial"
        remove(partial)
        with stage(f"copying the image to {self.spec.name}"):
            copy_tree(image.root, partial)
        self._personalise(partial, image)
        (self.folder / "host.json").write_text(json.dumps(asdict(self.spec)))
        partial.rename(self.root)

    def restore(self, image: Image) -> None:
        """Make the root tree what it was after `create`; the host must not be running."""
        self._resetting.touch()
        mirror_tree(image.root, self.root)
        self._personalise(self.root, image)
        self._resetting.unlink()

    def destroy(self) -> None:
        """End it and remove its folder."""
        self.guest.kill()
        self.network.remove()
        remove(self.folder)

    @property
    def _resetting(self) -> Path:
        return self.folder / "resetting"

    def _personalise(self, root: Path, image: Image) -> None:
        """Everything in which a host differs from its image."""
        name, address, gateway = self.spec.name, self.spec.address, self.network.gateway
        self.access.create(name, address)
        self.access.install(root)
        (root / "etc/hostname").write_text(f"{name}\n")
        lines = ("127.0.0.1 localhost", f"{address} {name} {HOST_NAME}", f"{gateway} outside")
        (root / "etc/hosts").write_text("".join(f"{line}\n" for line in lines))
        _same_time_zone(root)
        if self.spec.kind.with_matomo:
            trust_address(root, address)
            token = self.folder / "token"
            token.touch(mode=0o600)
            token.write_text(image.record["token"] + "\n")


def load_spec(home: Home, name: str) -> Optional[HostSpec]:
    """The spec of a host that exists."""
    try:
        return HostSpec(**json.loads((home.hosts / name / "host.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def find_spec(home: Home, name: str, address: Optional[str]) -> HostSpec:
    """The spec of the host `name`: as it is, or as it would be created."""
    if not _NAME.fullmatch(name) or name == BUILD_NAME:
        raise SandboxError(f"not a host name: '{name}' (a-z, 0-9, -; at most 31 characters)")
    known = load_spec(home, name)
    if known and address and address != known.address:
        raise SandboxError(f"{name} exists with address {known.address}: destroy it first")
    return known or HostSpec(name, check_address(address or default_address(name)))


def refuse_clash(home: Home, spec: HostSpec) -> None:
    """Two hosts cannot share a network."""
    net = spec.address.rsplit(".", 1)[0]
    for other in all_specs(home):
        if other.name != spec.name and other.address.rsplit(".", 1)[0] == net:
            taken = f"{net}.0/24 is the network of the host '{other.name}'"
            raise SandboxError(f"{taken}: choose another --address for {spec.name}")


def all_specs(home: Home) -> list[HostSpec]:
    """Every host there is."""
    names = sorted(path.parent.name for path in home.hosts.glob("*/host.json"))
    return [spec for spec in (load_spec(home, name) for name in names) if spec]


def _same_time_zone(root: Path) -> None:
    here = Path("/etc/localtime")
    if here.is_symlink() and (root / os.path.realpath(here).lstrip("/")).exists():
        (root / "etc/localtime").unlink(missing_ok=True)
        (root / "etc/localtime").symlink_to(os.path.realpath(here))
    elif here.is_file():
        (root / "etc/localtime").unlink(missing_ok=True)
        shutil.copyfile(here, root / "etc/localtime")
