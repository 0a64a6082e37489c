"""``python -m tests.bench.check [--quick]``: what a whole ``fab`` process costs.

On the sandbox, the same data: plain ``ssh host true``, ``fab check`` (everything it asks), the
facts of ``check`` alone, and the same facts asked one by one as a script of ssh calls would.
Prints a table with ratios to plain ssh, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from matops.report.tables import table
from tests.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent
FACTS = (
    "uname -a", "cat /etc/os-release", "cat /proc/meminfo", "df -P /var/www/html", "df -iP /",
    "php -v", "php -m", "date +%s", "cat /etc/logrotate.d/apache2", "cat /etc/cron.d/matomo",
    "sudo cat /var/www/html/config/config.ini.php", "sudo ls -la /var/log/apache2",
    "ps aux", "sudo -u www-data php /var/www/html/console core:version", "id www-data",
)  # fmt: skip


def timed(command: Sequence[str], rounds: int, ok: tuple[int, ...] = (0,)) -> list[float]:
    """Wall seconds of each round."""
    seconds = []
    for _ in range(rounds):
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode not in ok:
            raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()}")
        seconds.append(time.monotonic() - began)
    return seconds


def one_by_one(ssh: Sequence[str], rounds: int) -> list[float]:
    """The facts as fifteen ssh calls."""
    totals = []
    for _ in range(rounds):
        totals.append(sum(timed([*ssh, fact], 1)[0] for fact in FACTS))
    return totals


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of ten")
    rounds = 3 if parser.parse_args().quick else 10
    box = Sandbox("demo").up()
    ssh = ["ssh", "-F", str(box.ssh_config), box.name]
    fab = [str(Path(sys.executable).parent / "fab"), "-S", str(box.ssh_config), "-H", box.name]
    timed([*fab, "check", "--window", "1s"], 1, (0, 3))  # uploads the agent, warms caches
    runs: dict[str, Callable[[], list[float]]] = {
        "ssh host true": lambda: timed([*ssh, "true"], rounds),
        "fab --version (start of fab alone)": lambda: timed([fab[0], "--version"], rounds),
        "fab check (all facts, database, table)": lambda: timed(
            [*fab, "check", "--window", "1s"], rounds, (0, 3)
        ),
        f"{len(FACTS)} facts, one ssh each": lambda: one_by_one(ssh, max(rounds // 3, 1)),
    }
    results = {name: run() for name, run in runs.items()}
    base = statistics.median(results["ssh host true"])
    rows = [
        (name, f"{statistics.median(s):.2f}", f"{min(s):.2f}", f"{max(s):.2f}",
         f"{statistics.median(s) / base:.1f}")
        for name, s in results.items()
    ]  # fmt: skip
    print(table(("what", "median s", "min", "max", "ratio"), rows))
    print(json.dumps({"rounds": rounds, "seconds": results, "base": "ssh host true"}))


if __name__ == "__main__":
    main()
