"""``python -m tests.bench.replay [--quick] [--host NAME]``: our client against import_logs.py.

The same hostile hits (agents with raw bytes, long addresses, odd parameters) by both: to a stub
that answers at once, and to the real Matomo of a throw-away host. Hits a second, processor time,
hits lost, hits twice. import_logs.py takes part where MATOPS_IMPORT_LOGS names it. Prints a
table, and one JSON object as last line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Optional

from matops.accesslog import gapfile
from matops.accesslog.replay.client import Target
from matops.accesslog.replay.ledger import Ledger
from matops.accesslog.replay.pace import Pace
from matops.accesslog.replay.request import Rules
from matops.accesslog.replay.run import replay
from matops.accesslog.replay.task import Run
from matops.matomo.replay_token import Given
from matops.mysql.attempt import Stop
from matops.report.tables import table
from tests.host import replay_kit as kit
from tests.sandbox import Sandbox

SCRIPT = os.environ.get("MATOPS_IMPORT_LOGS", "")
_NUMBER = re.compile(rb"/r/bench/(\d+)|%2Fr%2Fbench%2F(\d+)")
_LONE = re.compile(rb"\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]..")
"""Half a surrogate pair: PHP's json_decode gives NULL for the whole document."""


class Stub:
    """A tracker that answers at once and counts, as PHP would read it."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.loop = asyncio.new_event_loop()
        self.port = 0
        ready = threading.Event()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait()

    def _serve(self, ready: threading.Event) -> None:
        async def begin() -> None:
            server = await asyncio.start_server(self._one, "127.0.0.1", 0, limit=1 << 24)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        asyncio.set_event_loop(self.loop)
        self.loop.create_task(begin())
        self.loop.run_forever()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = re.search(rb"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(size[1])) if size else b""
                answer = self._answer(head, body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))  # fmt: skip
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if b'"requests"' not in body:  # the reporting API, which the script asks first
            return (
                b'{"1":{"idsite":1,"main_url":"http://a"},"2":{"idsite":2,"main_url":"http://b"}}'
            )
        if _LONE.search(body):
            return b'{"status":"success","tracked":0,"invalid":0,"invalid_indices":[]}'
        found = [int(a or b) for a, b in _NUMBER.findall(body)]
        self.seen.update(found)
        count = len(json.loads(body)["requests"])
        return b'{"status":"success","tracked":%d,"invalid":0,"invalid_indices":[]}' % count


def make(folder: Path, count: int) -> tuple[Path, Path, set[int]]:
    """(gap file, the same as Apache would have logged it, numbers that must arrive)."""
    gap = kit.Gap("bench", kit.hours_ago(30))
    gap.pages(count, pace=0.01, odd=1000)
    fates = kit.hostile(gap, count)
    for number, fate in fates.items():  # only what Matomo records
        if fate:
            gap.lines = [line for line in gap.lines if not _has(line, number)]
    numbers = {n for n in range(count + 10) if not fates.get(n)}
    path, raw = folder / "bench.gap", folder / "access.log"
    lines = sorted(gap.lines)
    path.write_bytes(gapfile.HEADER + b"".join(lines))
    with raw.open("wb") as file:
        for line in lines:
            hit = gapfile.parse(line)
            logged = gapfile.combined(hit._replace(agent="@", status=200))
            agent = gapfile.unescape(hit.agent).replace(b'"', b'\\"')
            file.write(logged.replace(b'"@"', b'"' + agent + b'"'))
    return path, raw, numbers


def _has(line: bytes, number: int) -> bool:
    return bool(re.search(rb"%%2F%d(?!\d)" % number, line))


def ours(path: Path, url: str, folder: Path) -> None:
    """Our client, in this process."""
    ledger = Ledger(folder / "bench.ledger", {})
    run = Run(path, Rules(), Target(url), ledger, Pace(4, 0), lambda: Given("x" * 32, 5), Stop(),
              lambda line: None)  # fmt: skip
    replay(run)
    ledger.close()


def script(raw: Path, url: str) -> None:
    """The script, as its documentation has it, with a token of no worth."""
    words = [sys.executable, SCRIPT, "--replay-tracking", f"--url={url}", "--recorders=4",
             "--token-auth=" + "x" * 32, str(raw)]  # fmt: skip
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=600)  # fmt: skip


def measure(way: Callable[[], None]) -> tuple[float, float]:
    """(wall, processor) seconds of it, in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=way)
    process.start()
    process.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def row(
    what: str, wanted: set[int], seen: Counter[int], wall: float, cpu: Optional[float]
) -> dict[str, Any]:
    """One line of the table."""
    lost = sum(1 for n in wanted if not seen[n])
    twice = sum(1 for n in wanted if seen[n] > 1)
    rate = round(len(wanted) / wall)
    return {"way": what, "hits": len(wanted), "seconds": round(wall, 1), "hits/s": rate,
            "cpu s": cpu and round(cpu, 2), "lost": lost, "twice": twice}  # fmt: skip


def on_stub(count: int) -> list[dict[str, Any]]:
    """Both ways against the stub."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path, raw, wanted = make(folder, count)
        ways: list[tuple[str, Callable[[str], None]]] = [
            ("stub: matops", lambda url: ours(path, url, folder))
        ]
        if SCRIPT:
            ways.append(("stub: import_logs.py", lambda url: script(raw, url)))
        for name, way in ways:
            stub = Stub()
            url = f"http://127.0.0.1:{stub.port}/"
            wall, cpu = measure(lambda way=way, url=url: way(url))  # type: ignore[misc]
            found.append(row(name, wanted, stub.seen, wall, cpu))
    return found


def on_matomo(count: int, host: str) -> list[dict[str, Any]]:
    """Both ways against the real Matomo, put back to pristine before each."""
    box, found = Sandbox(host).up(), []
    with tempfile.TemporaryDirectory() as place:
        path, raw, wanted = make(Path(place), count)
        for name in ["Matomo: matops", *(["Matomo: import_logs.py"] if SCRIPT else [])]:
            box.reset()

            def way(name: str = name) -> None:
                if name.endswith("matops"):
                    _task(box, path)
                else:
                    _script_there(box, raw)

            began = time.monotonic()
            way()
            wall = time.monotonic() - began
            found.append(row(name, wanted, kit.numbers(box, "bench"), wall, None))
    return found


def _task(box: Sandbox, path: Path) -> None:
    target = "/var/lib/matops/bench.gap"
    box.exec("sh", "-c", f"umask 077; mkdir -p /var/lib/matops; cat > {target}",
             input=path.read_bytes())  # fmt: skip
    fab = str(Path(sys.executable).parent / "fab")
    words = [fab, "--ssh-config", str(box.ssh_config), "-H", box.name, "logs.replay", "--file",
             target, "--max-load", "0"]  # fmt: skip
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _script_there(box: Sandbox, raw: Path) -> None:
    """On the host itself: its reporting API answers to trusted names alone."""
    for name, data in (
        ("import_logs.py", Path(SCRIPT).read_bytes()),
        ("raw.log", raw.read_bytes()),
    ):
        box.exec("sh", "-c", f"cat > /root/{name}", input=data)
    words = ["--replay-tracking", "--url=http://127.0.0.1/", "--recorders=4"]
    token = f"--token-auth={box.token}"
    box.exec("python3", "/root/import_logs.py", *words, token, "/root/raw.log", check=False)


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few hits")
    parser.add_argument("--host", default="bench", help="throw-away host; '' = the stub alone")
    asked = parser.parse_args()
    rows = on_stub(20_000 if asked.quick else 200_000)
    if asked.host:
        rows += on_matomo(500 if asked.quick else 5_000, asked.host)
    print(table(list(rows[0]), [tuple(one.values()) for one in rows]))
    if not SCRIPT:
        print("import_logs.py took no part: MATOPS_IMPORT_LOGS does not name it")
    print(json.dumps({"bench": "replay", "rows": rows}))


if __name__ == "__main__":
    main()
