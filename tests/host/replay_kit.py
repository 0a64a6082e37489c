"""A gap file of numbered hits for the replay's tests, and the database's account of them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from matops.accesslog import gapfile
from tests.sandbox import Sandbox

AGENTS = (
    b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    b'Mozilla/5.0 (Linux; Android 14; Caf\xe9 \xff "Z\\9") AppleWebKit/537.36 Chrome/125.0',
)
BOT = b"Googlebot/2.1 (+http://www.google.com/bot.html)"
PEOPLE = 40
ADDRESSES = [f"203.0.113.{n}" if n % 2 else f"2001:db8:{n}::5" for n in range(PEOPLE)]
"""One for each visitor: Matomo takes the same address and browser for the same visitor."""


class Gap:
    """Collects lines; each numbered hit is ``…/r/<run>/<number>``."""

    def __init__(self, run: str, begin: float) -> None:
        self.run, self.begin = run, begin
        self.lines: list[bytes] = []

    def add(
        self, query: str, *, at: float, agent: bytes = AGENTS[0], ip: str = ADDRESSES[0],
        referer: bytes = b"",
    ) -> None:  # fmt: skip
        """One line, ``at`` seconds after the begin."""
        stamp = gapfile.stamp(self.begin + at)
        key = gapfile.sort_key(stamp, b"web1", 1, len(self.lines) * 100)
        values = (b"GET", b"/matomo.php", gapfile.escape_query(query.encode()), ip.encode(),
                  gapfile.escape(agent), gapfile.escape(referer), b"503", b"43", b"")  # fmt: skip
        self.lines.append(gapfile.line(key, b"", *values))

    def page(self, number: int, **more: str) -> str:
        """The query of a numbered page view by one of PEOPLE visitors."""
        site = 1 + number % 2
        given = {
            "idsite": str(site), "rec": "1", "url": f"http://www.example.org/r/{self.run}/{number}",
            "_id": f"{0xABC0000000000000 + number % PEOPLE:016x}", "action_name": f"Hit {number}",
            "rand": str(number),
        }  # fmt: skip
        return urlencode({**given, **more})

    def pages(self, count: int, pace: float = 0.05, odd: int = 3) -> None:
        """Numbered page views, an address for each visitor; each ``odd``-th has raw bytes."""
        for number in range(count):
            self.add(self.page(number), at=number * pace, agent=AGENTS[number % odd == 1],
                     ip=ADDRESSES[number % PEOPLE])  # fmt: skip

    def place(self, sandbox: Sandbox) -> str:
        """Writes the file on the host, as logs.gap would; its path."""
        path = f"/var/lib/matops/test-{self.run}.gap"
        data = gapfile.HEADER + b"".join(sorted(self.lines))
        sandbox.exec("sh", "-c", f"umask 077; mkdir -p /var/lib/matops; cat > {path}", input=data)
        return path


def hostile(gap: Gap, first: int) -> dict[int, str]:
    """Odd hits from number ``first`` on; number → what becomes of it ('' = recorded once)."""
    page, fate = gap.page, {}
    odd: Sequence[tuple[str, str]] = (
        (page(first, url=f"http://www.example.org/r/{gap.run}/{first}?x=" + "v" * 2500), ""),
        (page(first + 1) + "&uadata=%7B%22a%22:%5B1%5D%7D&cvar=" + quote('{"1":["a","\xe4"]}'), ""),
        (page(first + 2) + "#frag&token_auth=secret&queuedtracking=1", ""),
        (page(first + 3) + "&ca=1", "the server fails at it alone"),
        (page(first + 4, cid="short"), "16 characters"),
        (page(first + 5, idsite="77"), "names no site"),
        (page(first + 6, cip="9.9.9.9"), "had no token in force"),
        (page(first + 7) + "&e_c=Caf%E9&e_a=%FF%FE", ""),
        (page(first + 8, rec="0"), "none"),
    )
    for place, (query, end) in enumerate(odd):
        gap.add(query, at=place, agent=AGENTS[1])
        fate[first + place] = end
    gap.add(page(first + 9), at=9, agent=BOT)
    fate[first + 9] = "none"
    return fate


def numbers(sandbox: Sandbox, run: str) -> Counter[int]:
    """How many times each number is in log_link_visit_action."""
    rows = sandbox.sql(
        "SELECT a.name, COUNT(*) FROM matomo.matomo_log_link_visit_action l"
        " JOIN matomo.matomo_log_action a ON a.idaction = l.idaction_url"
        f" WHERE a.name LIKE '%/r/{run}/%' GROUP BY a.name"
    )
    found: Counter[int] = Counter()
    for name, times in rows:
        number = re.search(rf"/r/{run}/(\d+)", name)
        assert number
        found[int(number[1])] += int(times)
    return found


def out_of_order(sandbox: Sandbox, run: str) -> int:
    """Actions of a visitor that were recorded before an earlier one of the same visitor."""
    rows = sandbox.sql(
        "SELECT HEX(l.idvisitor), UNIX_TIMESTAMP(l.server_time)"
        " FROM matomo.matomo_log_link_visit_action l"
        " JOIN matomo.matomo_log_action a ON a.idaction = l.idaction_url"
        f" WHERE a.name LIKE '%/r/{run}/%' ORDER BY l.idvisitor, l.idlink_va"
    )
    return sum(a[0] == b[0] and float(b[1]) < float(a[1]) for a, b in zip(rows, rows[1:]))


def tokens(sandbox: Sandbox) -> int:
    """Tokens that a replay left behind."""
    table = "matomo.matomo_user_token_auth"
    rows = sandbox.sql(f"SELECT COUNT(*) FROM {table} WHERE description LIKE 'matops logs.rep%'")
    return int(rows[0][0])


def hours_ago(hours: float) -> float:
    """An epoch, on a whole second."""
    return float(int(time.time() - hours * 3600))
