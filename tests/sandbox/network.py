"""A host's own network: a namespace and a veth pair, 10.77.N.1 outside, 10.77.N.2 inside."""

import json
import re
import zlib
from dataclasses import dataclass

from .errors import SandboxError
from .proc import run

PREFIX = "10.77"
NETNS = "matops-"
# 0 is the host named "demo", 254 the image builder: no other name may get them by chance.
DEFAULT_NAME, BUILD_OCTET = "demo", 254
# A neighbour that does not exist: packets for it are silently ignored by the other end.
_NOBODY = "02:00:00:00:00:de"


@dataclass(frozen=True)
class Network:
    """The names and addresses of one host's network."""

    name: str
    address: str
    scope: str = ""  # tells the hosts of one sandbox home from those of another

    @property
    def namespace(self) -> str:
        """Name of the network namespace."""
        return NETNS + self.scope + self.name

    @property
    def veth(self) -> str:
        """Name of the outer end: a digest, because interface names end at 15 characters."""
        return f"mx-{zlib.crc32(f'{self.scope}{self.name}'.encode()):08x}"

    @property
    def gateway(self) -> str:
        """Address of the outer end."""
        return self.address.rsplit(".", 1)[0] + ".1"

    def exists(self) -> bool:
        """Is the namespace there, with its link?"""
        return self.namespace in _namespaces() and self.veth in _interfaces()

    def create(self) -> None:
        """Make namespace and link, unless they are there."""
        if self.exists():
            return
        self.remove()
        self._refuse_clash()
        inside = ["ip", "-n", self.namespace]
        run(["ip", "netns", "add", self.namespace])
        peer = ["peer", "name", "eth0", "netns", self.namespace]
        run(["ip", "link", "add", self.veth, "type", "veth", *peer])
        run(["ip", "address", "add", f"{self.gateway}/24", "dev", self.veth])
        run(["ip", "link", "set", self.veth, "up"])
        run([*inside, "address", "add", f"{self.address}/24", "dev", "eth0"])
        run([*inside, "link", "set", "lo", "up"])
        run([*inside, "link", "set", "eth0", "up"])
        run([*inside, "route", "add", "default", "via", self.gateway])

    def remove(self) -> None:
        """Take both away; nothing to do is fine."""
        run(["ip", "link", "delete", self.veth], check=False)
        run(["ip", "netns", "delete", self.namespace], check=False)

    def drop(self) -> None:
        """Let every packet vanish, in both directions, without an error for anybody.

        Setting a link down would tell both ends ("no route to host", or worse, the packets
        would leave by this machine's default route). A wrong hardware address does not.
        """
        to = ["lladdr", _NOBODY, "nud", "permanent"]
        run(["ip", "neighbour", "replace", self.address, *to, "dev", self.veth])
        inside = ["ip", "-n", self.namespace, "neighbour", "replace", self.gateway]
        run([*inside, *to, "dev", "eth0"])

    def restore(self) -> None:
        """Undo `drop`."""
        run(["ip", "neighbour", "delete", self.address, "dev", self.veth], check=False)
        inside = ["ip", "-n", self.namespace, "neighbour", "delete", self.gateway]
        run([*inside, "dev", "eth0"], check=False)

    def _refuse_clash(self) -> None:
        for entry in json.loads(run(["ip", "-json", "address"]).stdout):
            for info in entry.get("addr_info", []):
                if info.get("local") == self.gateway:
                    taken = f"{self.gateway} is taken by {entry['ifname']}"
                    raise SandboxError(f"{taken}: choose another --address for {self.name}")


def default_address(name: str) -> str:
    """The address of a host that was not given one: always the same for the same name."""
    octet = 0 if name == DEFAULT_NAME else zlib.crc32(name.encode()) % (BUILD_OCTET - 1) + 1
    return f"{PREFIX}.{octet}.2"


def check_address(address: str) -> str:
    """Refuse an address that does not fit a /24 of its own with a gateway at .1."""
    parts = address.split(".")
    numbers = [int(part) for part in parts if re.fullmatch(r"\d{1,3}", part)]
    if len(parts) != 4 or len(numbers) != 4 or max(numbers) > 255 or not 2 <= numbers[3] <= 254:
        raise SandboxError(f"not a usable IPv4 address: {address} (like 10.77.5.2, not .1)")
    return address


def _namespaces() -> list[str]:
    lines = run(["ip", "netns", "list"]).stdout.splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def _interfaces() -> list[str]:
    return [entry["ifname"] for entry in json.loads(run(["ip", "-json", "link"]).stdout)]
