"""What was seen while a log was cut: counts by reason, addresses, visitors. Flat memory."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

_NAMED = re.compile(rb"(?:^|&)(?:_id|cid|uid)=[^&]")
"""A hit that names its visitor: an address does not matter to it."""
MANY = 20_000  # addresses told apart
FINGERPRINTS = 4_000  # requests remembered to tell two logs of the same requests


class Tally:
    """Counts of one log."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.statuses: Counter[bytes] = Counter()
        self.hosts: Counter[bytes] = Counter()
        self.addresses: Counter[bytes] = Counter()
        self.count = 0
        """Hits, whatever became of them."""
        self._asked = self._with_id = 0
        self.tokens: dict[str, str] = {}
        self.unread_lines = 0
        self.prints: set[int] = set()
        self._mask = 0

    def columns(
        self, statuses: Sequence[bytes], hosts: Sequence[bytes], addresses: Sequence[bytes],
        queries: Sequence[bytes], *, compare: bool,
    ) -> None:  # fmt: skip
        """Counts hits, one of each a hit. ``compare``: remembers some requests, the same ones in
        every log."""
        self.count += len(statuses)
        self.statuses.update(statuses)
        if any(hosts):
            self.hosts.update(hosts)
        else:
            self.hosts[b""] += len(hosts)
        self.addresses.update(addresses)
        if len(self.addresses) > MANY:  # those that matter are common ones
            self.addresses = Counter(dict(self.addresses.most_common(MANY // 4)))
        for query in queries[:: len(queries) // 16 + 1]:
            self._asked += 1
            self._with_id += _NAMED.search(query) is not None
        if compare:
            self._requests(list(map(hash, queries)))

    def _requests(self, digests: Sequence[int]) -> None:
        mask = self._mask
        self.prints.update([digest for digest in digests if not digest & mask])
        while len(self.prints) > FINGERPRINTS:
            self._mask = self._mask << 1 | 1
            self.prints = {digest for digest in self.prints if not digest & self._mask}

    def alike(self, other: Tally) -> float:
        """Share of the requests of the smaller log that the other has, too (0 to 1)."""
        mask = self._mask | other._mask
        one = {p for p in self.prints if not p & mask}
        two = {p for p in other.prints if not p & mask}
        smaller = min(len(one), len(two))
        return len(one & two) / smaller if smaller >= 5 else 0.0

    def add(self, other: Tally) -> None:
        """Another log of the same server."""
        self.reasons.update(other.reasons)
        self.statuses.update(other.statuses)
        self.hosts.update(other.hosts)
        self.addresses.update(other.addresses)
        self.count += other.count
        self._asked += other._asked
        self._with_id += other._with_id
        self.tokens.update(other.tokens)
        self.unread_lines += other.unread_lines

    def merge(self, other: Tally) -> None:
        """Another part of the same log."""
        self.add(other)
        self._mask |= other._mask
        self.prints = {d for d in self.prints | other.prints if not d & self._mask}
        self._requests(())
        if len(self.addresses) > MANY:
            self.addresses = Counter(dict(self.addresses.most_common(MANY // 4)))

    def visitors(self) -> dict[str, Any]:
        """What the addresses are good for: ``verdict`` real | one | masked | none | names, the
        ``share`` of hits with the commonest one, ``distinct``, ``without_id``."""
        seen = Counter({(b"" if ip == b"-" else ip): n for ip, n in self.addresses.items()})
        hits = sum(seen.values())
        top, most = (seen.most_common(1) or [(b"", 0)])[0]
        nameless = 1 - self._with_id / self._asked if self._asked else 0.0
        return {
            "verdict": _judge(seen, hits, most),
            "share": round(most / hits, 4) if hits else 0.0,
            "commonest": top.decode("ascii", "replace"),
            "distinct": len(seen),
            "hits": self.count,
            "without_id": round(self.count * nameless),
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
