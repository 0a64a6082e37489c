"""What was seen while a log was cut: counts by reason, addresses, visitors. Flat memory."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Any

MANY = 20_000  # addresses told apart
FINGERPRINTS = 4_000  # requests remembered to tell two logs of the same requests


class Tally:
    """Counts of one log."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.statuses: Counter[bytes] = Counter()
        self.hosts: Counter[bytes] = Counter()
        self.addresses: Counter[bytes] = Counter()
        self.with_id = 0
        """Hits that name their visitor (_id, cid, uid): an address does not matter to these."""
        self.tokens: dict[str, str] = {}
        self.unread_lines = 0
        self.prints: set[int] = set()
        self._mask = 0

    def request(self, query: bytes) -> None:
        """Remembers some of the requests, the same ones in every log."""
        digest = hash(query)
        if not digest & self._mask:
            self.prints.add(digest)
            if len(self.prints) > FINGERPRINTS:
                self._mask = self._mask << 1 | 1
                self.prints = {p for p in self.prints if not p & self._mask}

    def alike(self, other: Tally) -> float:
        """Share of the requests of the smaller log that the other has, too (0 to 1)."""
        mask = self._mask | other._mask
        one = {p for p in self.prints if not p & mask}
        two = {p for p in other.prints if not p & mask}
        smaller = min(len(one), len(two))
        return len(one & two) / smaller if smaller >= 5 else 0.0

    def address(self, ip: bytes) -> None:
        """One hit's address."""
        if ip in self.addresses or len(self.addresses) < MANY:
            self.addresses[ip] += 1

    def add(self, other: Tally) -> None:
        """Another log of the same server."""
        self.reasons.update(other.reasons)
        self.statuses.update(other.statuses)
        self.hosts.update(other.hosts)
        for ip, count in other.addresses.items():
            if ip in self.addresses or len(self.addresses) < MANY:
                self.addresses[ip] += count
        self.with_id += other.with_id
        self.tokens.update(other.tokens)
        self.unread_lines += other.unread_lines

    def visitors(self) -> dict[str, Any]:
        """What the addresses are good for: ``verdict`` real | one | masked | none | names, the
        ``share`` of hits with the commonest one, ``distinct``, ``without_id``."""
        hits = sum(self.addresses.values())
        top, most = (self.addresses.most_common(1) or [(b"", 0)])[0]
        return {
            "verdict": _judge(self.addresses, hits, most),
            "share": round(most / hits, 4) if hits else 0.0,
            "commonest": top.decode("ascii", "replace"),
            "distinct": len(self.addresses),
            "hits": hits,
            "without_id": hits - self.with_id,
        }


def _judge(addresses: Counter[bytes], hits: int, most: int) -> str:
    if not hits:
        return "real"
    parsed = {ip: _parse(ip) for ip in addresses}
    unusable = sum(count for ip, count in addresses.items() if parsed[ip] is None)
    if unusable > 0.5 * hits:
        return "none" if addresses[b""] > 0.5 * hits else "names"
    masked = sum(count for ip, count in addresses.items() if is_masked(parsed[ip]))
    if len(addresses) >= 5 and masked > 0.95 * hits:
        return "masked"
    return "one" if most > 0.95 * hits and hits >= 50 else "real"


def _parse(ip: bytes) -> Any:
    try:
        return ipaddress.ip_address(ip.decode("ascii"))
    except ValueError:
        return None


def is_masked(address: Any) -> bool:
    """True for 192.0.2.0 and 2001:db8:1:2::: the end was set to zero."""
    if address is None:
        return False
    return int(address) % (1 << (8 if address.version == 4 else 64)) == 0
