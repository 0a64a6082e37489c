"""``python -m tests.bench.gap [--quick] [--size 1GB] [--keep DIR]``: the gap out of six logs.

Generates logs (5 GB; 200 MB with --quick) with every hazard: a change of the clocks within the
window, late lines, raw bytes, escapes, two formats in one file, joined and cut .gz, an overlap
of copytruncate. Cuts six hours that lie in three of them: ours (each decompressor in a process of
its own), ``zcat | gawk | sort``, ``zgrep``, and the limit: only decompressing. Compares ours with
a slow reference, line by line. Prints a table and, as its last line, one JSON object.

The share that counts: 70 % of all lines name the tracker. The three files hold 18, 4 and 28 hours
(a day's rotation, and one more in the night of the outage), the window 6 of these 50: 12 % of
their lines, and more than a quarter of what has to be decompressed, for the plain file is
bisected. A night's hours have fewer lines than a day's on a real host; here all have the same,
which is worse for ours: all that is in the window is taken apart, escaped, counted, compared and
looked through for holes, where gawk only picks lines. Memory is the reader's and each helper's
largest, added up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from matops.report.tables import table
from matops.units import parse_size, show_size
from tests.bench import gap_logs, gap_reference
from tests.bench.gap_logs import END, START, Made

ROOT = Path(__file__).parent.parent.parent
AWK = r"""
BEGIN { split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", m, " ");
        for (i in m) month[m[i]] = i }
/\/(matomo|piwik)\.php\?/ {
    at = index($0, "["); stamp = substr($0, at + 1, 26)
    if (!(stamp in known)) {
        z = substr(stamp, 22); shift = (substr(z, 2, 2) * 60 + substr(z, 4, 2)) * 60
        t = mktime(substr(stamp, 8, 4) " " month[substr(stamp, 4, 3)] " " substr(stamp, 1, 2) " " \
                   substr(stamp, 13, 2) " " substr(stamp, 16, 2) " " substr(stamp, 19, 2))
        known[stamp] = substr(z, 1, 1) == "+" ? t - shift : t + shift
    }
    e = known[stamp]
    if (e >= from && e < to) print e "\t" $0
}
"""
OURS = """
import json, resource, sys, time
sys.path[:0] = json.loads(sys.argv[3])
if sys.argv[4] == "without isal":
    sys.modules["isal"] = None
from tests.bench.gap import cut
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
began, used = time.monotonic(), cpu()
report = cut(sys.argv[1], sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
# Of each helper the same again as its largest: too much by what they share.
peak += report["helpers"] * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"wall": time.monotonic() - began, "cpu": cpu() - used,
                  "peak": peak * 1024, "reader": report["reader"], "reasons": report["reasons"],
                  "notes": report["notes"], "holes": report["holes"]}))
"""


def cut(folder: str, out: str) -> dict[str, object]:
    """Ours, as ``logs.gap`` runs it on a host, up to the sorted file."""
    from matops.accesslog.cut import Rules, tracker_patterns
    from matops.accesslog.slicing import Slicer
    from matops.accesslog.sources import families
    from matops.accesslog.verdict import Edge, Window

    tracker = tracker_patterns()
    window = Window(START, END, Edge(START, START), Edge(END, END), margin=0)
    web = {"logs": [f"{folder}/access.log"]}
    rules = Rules(window, "web1", tracker)
    return Slicer(rules, lambda: families(web, "/", ["asked"], tracker[0]), out).run()


def ours(made: Made, work: Path, variant: str) -> dict[str, object]:
    """Wall and CPU seconds, peak memory in bytes."""
    words = [sys.executable, "-c", OURS, str(made.folder), str(work / "ours"),
             json.dumps([p for p in sys.path if p]), variant]  # fmt: skip
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


Cost = dict[str, float]


def shell(command: str) -> Cost:
    """Wall and CPU seconds; the files are in the page cache as they are for ours."""
    began, before = time.monotonic(), _children()
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "LC_ALL": "C", "TZ": "UTC"})  # fmt: skip
    return {"wall": time.monotonic() - began, "cpu": _children() - before}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def others(made: Made, work: Path) -> dict[str, Optional[Cost]]:
    """The usual ways, and the limit; None where a tool is missing."""
    packed = " ".join(str(p) for p in made.needed if p.suffix == ".gz")
    plain = " ".join(str(p) for p in made.needed if p.suffix != ".gz")
    (work / "gap.awk").write_text(AWK)
    days = "|".join(f"{day}/Oct/2026:(0[0-9]|2[0-3])" for day in (24, 25))
    ways = {
        "zcat | gawk | sort": ("gawk", f"(zcat {packed}; cat {plain}) | gawk -v from={START} -v "
                               f"to={END} -f {work}/gap.awk | sort -s -n -k1,1 > {work}/awk.out"),
        "igzip | mawk": ("igzip mawk", f"(igzip -dc {packed}; cat {plain}) | mawk "
                         f"'/(matomo|piwik)\\.php\\?/ && /{'|'.join(['24.Oct', '25.Oct'])}/' > "
                         f"{work}/mawk.out"),
        "zgrep | grep -E": ("zgrep", f"zgrep -hE '(matomo|piwik).php' {packed} {plain} | grep -E "
                            f"'{days}' > {work}/grep.out"),
        "limit: igzip | cat": ("igzip", f"igzip -dc {packed} > /dev/null; cat {plain} | cat"),
        "zcat alone": ("zcat", f"zcat {packed} > /dev/null; cat {plain} | cat"),
    }  # fmt: skip
    return {
        name: shell(command) if all(shutil.which(t) for t in tools.split()) else None
        for name, (tools, command) in ways.items()
    }


def compare(made: Made, work: Path) -> int:
    """How many lines; SystemExit at the first that differs from the reference."""
    expected = gap_reference.gap(made)
    found = []
    for name in ("sure", "asked"):
        lines = (work / f"ours.{name}").read_bytes().split(b"\n")[1:-1]
        found += [b"\t".join([p[0], *p[5:]]) for p in (line.split(b"\t") for line in lines)
                  if b"R" not in p[4]]  # fmt: skip
    for place, (one, two) in enumerate(zip(expected, found)):
        if one != two:
            raise SystemExit(f"line {place} differs:\n{one!r}\n{two!r}")
    if len(expected) != len(found):
        raise SystemExit(f"{len(expected)} lines expected, {len(found)} found")
    return len(found)


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 MB instead of 5 GB")
    parser.add_argument("--keep", default="", help="folder for the logs; they stay there")
    parser.add_argument("--size", default="", help="of the logs, unpacked: 1GB")
    given = parser.parse_args()
    size = parse_size(given.size or ("200MB" if given.quick else "5GB"))
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(given.keep or scratch)
        began = time.monotonic()
        made = gap_logs.make(work / "logs", size)
        size = sum(made.raw.values())
        print(f"{made.lines} lines, {made.tracking} of the tracker, {show_size(size)} in six "
              f"files, made in {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
        seconds = others(made, work)
        results = {f"ours, {v}": ours(made, work, v) for v in ("as installed", "without isal")}
        lines = compare(made, work)
    limit = seconds["limit: igzip | cat"]
    rows = [(name, *_cells(cost, limit), "") for name, cost in seconds.items()]
    for name, result in results.items():
        cost = {key: float(str(result[key])) for key in ("wall", "cpu")}
        peak = show_size(float(str(result["peak"])))
        rows.append((f"{name} ({result['reader']})", *_cells(cost, limit), peak))
    print(table(("way", "wall s", "of the limit", "CPU s", "of the limit", "peak memory"), rows))
    print(f"{lines} lines in the gap, the same as the reference's, one by one")
    print(json.dumps({"bytes": sum(made.raw.values()), "gap_lines": lines, "seconds": seconds,
                      **results}))  # fmt: skip


def _cells(cost: Optional[Cost], limit: Optional[Cost]) -> tuple[str, ...]:
    if cost is None:
        return ("skipped: tool missing", "", "", "")
    return tuple(
        text
        for key in ("wall", "cpu")
        for text in (f"{cost[key]:.2f}", f"{cost[key] / limit[key]:.1f}" if limit else "")
    )


if __name__ == "__main__":
    main()
