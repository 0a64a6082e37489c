"""The rules of ``invalidations.size``: what the figures mean, and small parsers around them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from matops.errors import UsageError
from matops.matomo import archiver
from matops.matomo.archiver import Archiver, Owner, Process
from matops.mysql.invalidations import index_ranges, ranges, refill, segments, verdict
from matops.mysql.invalidations.index_ranges import Sampled, Span
from matops.mysql.invalidations.pace import Pace
from matops.mysql.invalidations.tally import Bounded, IndexTally
from matops.mysql.invalidations.verdict import Facts, Thresholds, judge

KEPT = {1: 1_000, 7: 7_000, 30: 30_000, 90: 90_000}


def words(facts: Facts, limits: Thresholds | None = None) -> list[str]:
    return [one.word for one in judge(facts, limits)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(0), ["healthy"]),
        (Facts(0, per_day=0.0, archiver=False), ["healthy"]),
        (Facts(500, per_day=2_000.0), ["healthy"]),
        (Facts(500, per_day=None), ["unknown"]),
        (Facts(500, per_day=0.0, archiver=False), ["unknown"]),
        (Facts(500, per_day=900.0, no_start=1), ["stuck"]),
        (Facts(500, per_day=900.0, stale=3), ["stuck"]),
        (Facts(500, per_day=900.0, gone=3), ["stuck"]),
        # 999 duplicates are left to the archiver; so are 5,000 among 100,000.
        (Facts(2_000, per_day=9e5, duplicates=999), ["healthy"]),
        (Facts(2_000, per_day=9e5, duplicates=1_000), ["duplicated"]),
        (Facts(100_000, per_day=9e5, duplicates=5_000), ["healthy"]),
        (Facts(100_000, per_day=9e5, deleted=50_000), ["deleted sites"]),
        (Facts(100_000, per_day=10_000.0, kept=KEPT), ["flooded"]),
        (Facts(100_000, per_day=20_000.0, kept=KEPT), ["healthy"]),
        # More comes than leaves: it never ends, however short it looks.
        (Facts(100_000, per_day=20_000.0, added_per_day=20_000, kept=KEPT), ["flooded"]),
        (Facts(9_999, per_day=1.0, kept=KEPT), ["healthy"]),
        # Nothing is worked off: too many for the fastest archiver are too many.
        (Facts(50 * 10**6, per_day=0.0, kept=KEPT), ["flooded", "unknown"]),
        (Facts(50 * 10**6, per_day=None, kept=KEPT), ["flooded", "unknown"]),
        (Facts(6 * 10**6, per_day=0.0, kept=KEPT), ["unknown"]),
        # What dedupe makes short enough need not be truncated.
        (Facts(100_000, per_day=10_000.0, duplicates=60_000, kept=KEPT), ["duplicated"]),
        (
            Facts(10**6, per_day=1e4, duplicates=10**5, no_start=2, deleted=10**5, kept=KEPT,
                  uncovered=7),
            ["stuck", "duplicated", "deleted sites", "flooded", "uncovered"],
        ),
    ],
)  # fmt: skip
def test_verdicts_in_order(facts: Facts, expected: list[str]) -> None:
    assert words(facts) == expected


def test_each_verdict_has_its_command() -> None:
    facts = Facts(10**6, per_day=8_000.0, duplicates=10**5, no_start=2, kept=KEPT, uncovered=7)
    found = judge(facts, fab="fab -H web1")
    assert [one.command for one in found] == [
        "fab -H web1 invalidations.reset",
        "fab -H web1 invalidations.dedupe",
        "fab -H web1 invalidations.truncate --keep-days 7",
        'fab -H web1 console "core:invalidate-report-data --dates=<first>,<last> --sites=<ids>"',
    ]
    assert "9 min" in judge(Facts(60, per_day=9600.0))[0].why
    assert "Keeping 7 days leaves 7,000 rows" in found[2].why
    assert verdict.keep_days(Facts(10**6, per_day=1.0, kept=KEPT), Thresholds()) == 1
    rough = judge(Facts(1_234_567, per_day=8_000.0, kept=KEPT, estimated=True))
    assert rough[0].why.startswith("~ 1,230,000 rows at 8,000 a day take 154.3 days at best")


def test_limits_for_cron() -> None:
    limits = verdict.parse_limits("rows=1_000,days=2d12h, duplicates=20%,stuck=0")
    assert limits == {"rows": 1000.0, "days": 2.5, "duplicates": 0.2, "stuck": 0.0}
    facts = Facts(1_000, per_day=100.0, duplicates=300, stale=1)
    over, unknown = verdict.crossed(facts, 1_000, limits)
    assert over == ["days 10.0 > 2.5", "duplicates 30.0 % > 20.0 %", "stuck 1 > 0"]
    assert not unknown
    over, unknown = verdict.crossed(Facts(10), 10, {"days": 7.0, "rows": 10.0})
    assert (over, unknown) == ([], ["days"])
    part = Facts(10, stale=2, least=frozenset({"stuck"}))
    assert verdict.crossed(part, 10, {"stuck": 2.0}) == ([], ["stuck"])
    assert verdict.crossed(part, 10, {"stuck": 1.0}) == (["stuck 2 > 1"], [])
    assert verdict.crossed(Facts(0), 0, {"days": 7.0, "duplicates": 0.1}) == ([], [])
    for text in ("row=1", "rows=many", "days=nan", "rows=-1", "days=3x", "rows=", "stuck"):
        with pytest.raises(UsageError):
            verdict.parse_limits(text)


def test_order_is_fair_and_complete() -> None:
    assert ranges.fair([]) == [] and ranges.fair(["a"]) == ["a"]
    assert ranges.fair(range(8)) == [0, 4, 2, 6, 1, 5, 3, 7]
    for size in (3, 100, 1000):
        mixed = ranges.fair(range(size))
        assert sorted(mixed) == list(range(size))
        # Any beginning of it is spread over the whole.
        if size == 1000:
            assert max(b - a for a, b in zip(sorted(mixed[:128]), sorted(mixed[:128])[1:])) < 20


def test_spans_cover_everything_once() -> None:
    cuts = [(2, "2026-01-05"), (2, "2026-02-01"), (9, "2025-01-01"), (2, "2026-01-05")]
    spans = index_ranges.between(cuts)
    points = [Sampled(s, d, d, 1, 1) for s, d in cuts]
    assert index_ranges.spans(points, 10**9)[1:] == spans[1:]
    assert index_ranges.spans([], 5) == [Span()]
    assert spans[0] == Span(None, (2, "2026-01-05")) and spans[-1].high is None
    assert len(spans) == 4
    places = [(s, d) for s in (1, 2, 5, 9, 10) for d in ("2025-01-01", "2026-01-05", "2026-01-31")]
    assert all(sum(_within(span, point) for span in spans) == 1 for point in places)
    assert Span().condition() == ("((TRUE))", ())
    assert spans[1].condition()[0] == "(idsite = %s AND date1 >= %s AND date1 < %s)"


def _within(span: Span, point: tuple[int, str]) -> bool:
    """The condition, worked out by sqlite, which reads it as MySQL does."""
    import sqlite3

    text, values = span.condition()
    made = sqlite3.connect(":memory:").execute(
        f"SELECT {text.replace('%s', '?')} FROM (SELECT ? AS idsite, ? AS date1)", (*values, *point)
    )
    return bool(made.fetchone()[0])


def test_counts_are_bounded() -> None:
    counts: Bounded[int] = Bounded(2)
    for key in (1, 2, 3, 1, 4):
        counts.add(key, 10)
    assert counts.counts == {1: 20, 2: 10} and counts.others == 20
    assert counts.top(1) == ([(1, 20)], 30)
    tally = IndexTally(rows=100, reaches={1: 10, 7: 20, 99999: 70}, share=0.25, factor=4.0)
    assert (tally.scaled(25), tally.kept(1), tally.kept(7)) == (100, 40, 120)


def test_the_list_of_reports_to_build_anew() -> None:
    item = '{"idSites":[1,2],"pluginName":"Göals","report":null,"startDate":1700000000}'
    size = len(item.encode())
    text = f'a:3:{{i:0;s:{size}:"{item}";i:5;s:5:"a";b"";i:7;s:{size}:"{item}";}}'.encode()
    found = list(refill.items(text))
    assert found == [item, 'a";b"', item]
    assert refill.parse(item) == refill.Entry("1,2", "Göals", "", 1700000000, "")
    assert refill.parse('a";b"') is None and refill.parse("[1]") is None
    for bad in (b"", b"a:0:{}", b'a:1:{i:0;s:99:"x";}', b"b:1;", b"a:1:{i:0;a:0:{}}"):
        assert list(refill.items(bad)) == []


@pytest.mark.parametrize(
    ("text", "entries"),
    [(b"", 0), (b"b:0;", 0), (b"a:0:{}", 0), (b'a:3:{i:0;s:9:"cut', 3), (b'["json"]', 1)],
)
def test_a_list_that_cannot_be_read_is_not_empty(text: bytes, entries: int) -> None:
    assert refill.declared(text, 0) == entries


def test_names() -> None:
    known = {"ab12": segments.Segment("Mobile", True), "cd": segments.Segment("Old", False)}
    assert segments.split("doneab12.Goals") == ("ab12", "Goals")
    assert segments.shown("done", known) == "all visits"
    assert segments.shown("doneab12.Goals", known) == "segment 'Mobile', plugin Goals"
    assert "not stored" in segments.shown("doneffffffffffff", known)
    built = [
        segments.built_by_archiver(n, known) for n in ("done", "doneab12.X", "donecd", "done9")
    ]
    assert built == [True, True, False, False]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("/usr/bin/php /var/www/html/console core:archive --url=https://x/", archiver.ARCHIVER),
        ("/bin/sh -c cd /var/www/html && php console core:archive > /dev/null", archiver.ARCHIVER),
        ("php -q /m/console climulti:request -q --superuser module=API&method="
         "CoreAdminHome.archiveReports&idSite=1", archiver.CHILD),
        ("php /m/console scheduled-tasks:run", archiver.TASKS),
        ("vim /root/core:archive", ""),
        ("sudo -u www-data php console core:archive", ""),
        ("su -s /bin/sh www-data -c php console core:archive", ""),
        ("pgrep -f core:archive", ""),
        ("python3 /var/lib/matops/agent/matops-0123456789abcdef.pyz console core:archive", ""),
        ("php console queuedtracking:process", ""),
    ],
)  # fmt: skip
def test_archiving_processes(line: str, kind: str) -> None:
    assert archiver.kind_of(line) == kind


def test_another_installations_archiver_is_not_ours(tmp_path: Path) -> None:
    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
    # By path where the process cannot be looked at; by its current folder where it can.
    with subprocess.Popen(["sleep", "30"], cwd=tmp_path / "ours") as child:
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
            pass  # Popen returns a moment before exec has put the words there
        seen = [{"pid": child.pid, "user": "w", "seconds": 1, "line": "php console core:archive"}]
        assert len(archiver.of_this(seen, str(tmp_path / "ours"))) == 1
        assert not archiver.of_this(seen, str(tmp_path / "other"))
        seen[0]["line"] = f"php {tmp_path}/other/console core:archive"
        assert not archiver.of_this(seen, str(tmp_path / "ours"))
        child.kill()
    seen = [{"pid": 0, "user": "w", "seconds": 1, "line": f"php {d}/console core:archive"}
            for d in ("/srv/a", "/srv/b")]  # fmt: skip
    assert [p.line for p in archiver.of_this(seen, "/srv/a")] == ["php /srv/a/console core:archive"]


def test_a_process_of_a_web_server_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """archive.php called by its address writes down the number of a php-fpm worker."""
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    monkeypatch.setattr(archiver, "_readable", lambda path: True)
    with subprocess.Popen(["php-fpm: pool www", "30"], executable="/bin/sleep") as child:
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
            pass  # Popen returns a moment before exec has put the words there
        seen = archiver.look("/m", {("here", str(child.pid)): 2, ("here", "4999999"): 1})
        child.kill()
    assert [o.process for o in seen.gone] == ["4999999"]
    assert [o.process for o in seen.elsewhere] == [str(child.pid)] and seen.running is not False
    assert any("may archive" in why for why in seen.why())
    assert archiver._pids(child.pid) == {child.pid}


def test_whether_it_runs() -> None:
    tasks = Process(archiver.TASKS, 1, "w", 1, "")
    assert Archiver().running is False
    assert Archiver(processes=(tasks,)).running is False
    assert Archiver(processes=(tasks, Process(archiver.CHILD, 2, "w", 1, ""))).running is True
    elsewhere = Archiver(elsewhere=(Owner("b", "5", 3),), host="a")
    assert elsewhere.running is None and "cannot be checked from a" in elsewhere.why()[0]
    assert Archiver(gone=(Owner("a", "5", 3),), host="a").running is False
    assert Archiver(sees_all=False).running is None


def test_recovery_time_by_site() -> None:
    found = archiver.recovery(
        {"General": {"archive_failure_recovery_timeout": "3600"},
         "General_7": {"archive_failure_recovery_timeout": "60"}, "General_8": {}}
    )  # fmt: skip
    assert (found.of(1), found.of(7), found.of(8)) == (3600, 60, 3600)
    assert archiver.recovery({}).of(1) == 86400


def test_pace_is_the_best_of_what_is_known() -> None:
    assert Pace().per_day is None and Pace().days(5) is None and Pace().days(0) == 0
    pace = Pace(left=10, added=0, seconds=10.0, hour=100, day=1_000)
    assert pace.per_day == 86400 and Pace(hour=100, day=1_000).per_day == 2400
    assert Pace(hour=0, day=0).days(5) is None
