"""A plan's arithmetic and judgements, the window, and the notices' texts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import email
import email.policy
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from matops.errors import MatopsError, OutcomeUnknown, UsageError
from matops.matomo.rehearsal import CONSOLE, Migration, Rehearsal
from matops.mysql.ddl import forecast, parse
from matops.mysql.ddl.sample import Timed
from matops.mysql.ddl.shape import Dives, Shape, places
from matops.mysql.ddl.verdict import COPY, INPLACE, INSTANT, Verdict
from matops.runbook import notices, notify, plan_rules, plan_traffic, plan_window
from matops.runbook.notices import KINDS, Window
from matops.runbook.plan_lines import AFTER, DOWN, UP, Line, Plan, total
from matops.runbook.plan_rules import Wanted
from matops.settings import Settings

UTC = dt.timezone.utc
ALTER = parse("ALTER TABLE m_log_visit ADD COLUMN a INT NULL")
BIG = Shape("m", "m_log_visit", "InnoDB", 5_000_000, 900 << 20, 700 << 20,
            places=(5_000_000, 50), dives=Dives(0.0001, 1.0))  # fmt: skip


def estimate(way: str, seconds: float | None, **more: Any) -> dict[str, Any]:
    time = None if seconds is None else {"low": seconds / 2, "likely": seconds,
                                         "high": seconds * 2, "basis": "measured"}  # fmt: skip
    return {"way": way, "time": time, "table": "m_log_visit", "rows": 10, "bytes": 1 << 30,
            "disk": 0, "tmp": 0, "notes": [], "reason": "", "rebuild": None, **more}  # fmt: skip


FACTS: dict[str, Any] = {
    "server": "MySQL 9.7.4", "prefix": "m_", "now": 1_700_000_000.0, "rate": 0.0,
    "migrations": {"sampled": True, "why_not": "", "of": [
        [estimate("instant", 0.1)],
        [estimate("copy", 600, disk=1 << 30)],
        [],
        [],
        [estimate("inplace", 60, rebuild=False, disk=200 << 20, tmp=100 << 20)],
    ]},
    "optimize": {"tables": 2, "bytes": 10 << 30, "gain": 5 << 30, "largest": 6 << 30,
                 "not_looked_at": 0},
    "purge": {"counts": {"errors": 1, "superseded": 2, "ranges": 3}, "looked": 2, "of": 2},
    "traffic": [3600] * 168,
    "archiving": {"seconds": 1200.0, "queued": 4},
    "queue": {"before": None, "after": None, "seconds": 60.0},
    "room": {"data": 100 << 30, "tmp": None, "how": "df"},
}  # fmt: skip
STATEMENTS = (
    "ALTER TABLE m_log_visit ADD COLUMN a INT NULL",
    "ALTER TABLE m_log_visit MODIFY b BIGINT",
    "./console config:set --section=a",
    "./console core:invalidate-report-data --dates=x",
    "ALTER TABLE m_log_visit ADD INDEX i (c)",
)
REHEARSAL = Rehearsal("5.3.1", "5.8.0", "/s", 1.0, "MySQL", True, seconds=9.0, migrations=[
    Migration(i, 5, text, CONSOLE if "console" in text else "sql", seconds=0.2)
    for i, text in enumerate(STATEMENTS, 1)
])  # fmt: skip


def make(**changes: Any) -> Plan:
    return plan_rules.make(REHEARSAL, {**FACTS, **changes}, Wanted(ahead=frozenset({5})))


def test_phases_sums_and_what_is_folded() -> None:
    plan = make()
    down = plan.of(DOWN)
    assert [line.number for line in plan.quick] == [1, 3]
    assert any("2 quick migrations (#1, #3)" in line.what for line in down)
    assert 660 < total(down).likely < 760
    (unknown,) = [line for line in down if line.time is None]
    assert "invalidate-report-data" in unknown.what and "depends on the data" in unknown.basis
    assert total(plan.of(DOWN, ahead=True)).likely == pytest.approx(total(down).likely - 60)
    assert any(line.number == 5 for line in plan.of(UP, ahead=True))
    assert plan.peak() == (6 << 30, 100 << 20)  # db.optimize's largest


def test_the_window_is_padded_rounded_up_and_never_below_the_upper_end() -> None:
    plan = make()
    upper = total(plan.of(DOWN)).high
    assert plan_window.announce(plan, 1.0) >= upper
    assert plan_window.announce(plan, 10.0) % 900 == 0
    assert plan_window.announce(plan, 10.0) >= 10 * total(plan.of(DOWN)).likely
    assert plan_window.announce(Plan(()), 2.0) == 900


def test_a_migration_that_failed_or_would_fail_is_named() -> None:
    broken = dict(FACTS["migrations"])
    broken["of"] = [*broken["of"][:4], [estimate("fails", None, reason="Row size too large")]]
    (line,) = make(migrations=broken).failing
    assert line.number == 5 and "Row size too large" in line.basis
    failed = dataclasses.replace(REHEARSAL.migrations[0], ok=False, error="no such table")
    line = plan_rules.migration_line(failed, [], False)
    assert line.fails and "no such table" in line.basis


def test_unknown_rows_and_statements_are_no_number() -> None:
    each = Migration(1, 1, "UPDATE x SET y = 1")
    assert plan_rules.migration_line(each, [estimate("rows", None)], False).time is None
    found = [estimate("instant", 1), estimate("unknown", None, reason="not understood")]
    line = plan_rules.migration_line(each, found, False)
    assert line.time is None and line.basis == "not understood"
    assert plan_rules.migration_line(each, [], False).time is None


def test_facts_that_could_not_be_read_are_told() -> None:
    error = {"error": "the server is away"}
    plan = make(optimize=error, purge=error)
    assert [line.basis for line in plan.of(UP) if line.time is None] == ["the server is away"] * 2
    lines = plan_rules.after({**FACTS, "traffic": error, "archiving": error}, Wanted(), 3600)
    assert all(line.time is None and line.basis == "the server is away" for line in lines)


def test_catching_up_by_queue_or_by_log() -> None:
    held, archive = plan_rules.after(FACTS, Wanted(queue=True), 3600)
    assert held.phase == AFTER and "process the held queue: about 3600" in held.what
    assert archive.time and archive.time.likely == 1200 and "4 invalidations" in archive.what
    assert "replay the access log" in plan_rules.after(FACTS, Wanted(), 3600)[0].what


def test_the_queues_own_pace() -> None:
    queue = {"before": 10_000, "after": 4_000, "seconds": 60.0}
    (line,) = [x for x in make(queue=queue).of(DOWN) if x.what.startswith("drain")]
    assert line.time and line.time.likely == pytest.approx(4000 / 101, rel=0.01)
    assert "at the pace seen now: 101" in line.basis
    (line,) = [x for x in make(queue={**queue, "before": 4_000}).of(DOWN) if "drain" in x.what]
    assert "pace not seen" in line.basis


def test_traffic_of_the_same_hours_of_last_week() -> None:
    now = 1_700_000_000.0 - 1_700_000_000.0 % 3600
    hours = [100] * 168
    hours[24] = 1000  # six days ago, in a week the hour from 24 hours on
    likely, high = plan_traffic.during(hours, now, now + 24 * 3600, 3600)
    assert (likely, high) == (1000, 1500)
    assert plan_traffic.during(hours, now, None, 7200) == (210, 2000)
    assert plan_traffic.during([], now, None, 7200) == (0, 0)


def test_disk_log_and_queue_judgements() -> None:
    plan = Plan((Line(DOWN, "x", disk=10 << 30, tmp=5 << 30),))
    room = {"data": 20 << 30, "tmp": None, "how": "df"}
    assert plan_window.disk(plan, room).status == "ok"
    assert plan_window.disk(plan, {**room, "data": 15 << 30}).status == "fail"
    assert plan_window.disk(plan, {**room, "tmp": 1 << 30}).status == "fail"
    assert plan_window.disk(plan, None).status == "unknown"
    assert plan_window.queue(1 << 20, 100, 2048).status == "ok"
    assert plan_window.queue(1 << 10, 100, 2048).status == "fail"
    assert plan_window.queue(None, 100, 2048).status == "unknown"


@pytest.mark.parametrize(("text", "factor"), [("2x", 2), ("1.5", 1.5), ("50%", 1.5), ("3 ×", 3)])
def test_padding(text: str, factor: float) -> None:
    assert plan_window.parse_padding(text) == factor


@pytest.mark.parametrize("text", ["", "x", "0.5", "-2x", "21x", "2y"])
def test_no_padding(text: str) -> None:
    with pytest.raises(UsageError):
        plan_window.parse_padding(text)


def test_start() -> None:
    moment, zone = plan_window.parse_start("2026-12-01 22:00 Europe/Berlin")
    assert moment.astimezone(UTC) == dt.datetime(2026, 12, 1, 21, 0, tzinfo=UTC)
    assert zone == "Europe/Berlin"
    assert plan_window.parse_start("2026-12-01T22:00 Z")[1] == "UTC"
    assert plan_window.parse_start("2026-12-01 22:00", "UTC")[1] == "UTC"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tomorrow", "is not a time"),
        ("2026-12-01 22:00", "names no zone"),
        ("2026-12-01 22:00 Mars/Base", "is no time zone"),
        ("2026-12-01 22:00 ../etc/passwd", "is no time zone"),
        ("2026-13-01 22:00 UTC", "is not a time"),
        ("2026-10-25 02:30 Europe/Berlin", "twice, or never"),
        ("2026-03-29 02:30 Europe/Berlin", "twice, or never"),
    ],
)
def test_no_start(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_window.parse_start(text)
    assert words in caught.value.line()


# --- how samples are carried over --------------------------------------------------------------


def test_fit_and_bounds() -> None:
    assert forecast.fit(((1000, 1.1), (3000, 3.1))) == pytest.approx((0.1, 0.001))
    assert forecast.fit(((1000, 1.0),)) == (0.0, 0.001)
    begin, per_row = forecast.fit(((1000, 5.0), (3000, 3.0)))  # the first one was disturbed
    assert per_row == 0.0005 and begin == pytest.approx(1.5)


@pytest.mark.parametrize("way", [INPLACE, COPY])
def test_a_forecast_is_in_order_and_grows_with_the_table(way: str) -> None:
    timed = Timed(((50_000, 0.6), (400_000, 4.2)), 1 << 20, 1e-9)
    verdict = Verdict(ALTER, way, rebuild=True)
    machine = forecast.Machine(256 << 20)
    found = forecast.forecast(verdict, BIG, timed, machine)
    assert found.low < found.likely < found.high
    half = dataclasses.replace(BIG, rows=BIG.rows // 2, data_bytes=BIG.data_bytes // 2,
                               index_bytes=BIG.index_bytes // 2)  # fmt: skip
    assert forecast.forecast(verdict, half, timed, machine).likely < found.likely / 1.9
    roomy = forecast.forecast(verdict, BIG, timed, forecast.Machine(64 << 30)).likely
    assert roomy < found.likely if way == COPY else roomy == found.likely


def test_a_copy_in_bulk_needs_no_pages_again() -> None:
    timed = Timed(((50_000, 0.6), (400_000, 4.2)))
    verdict, small = Verdict(ALTER, COPY), forecast.Machine(64 << 20)
    bulk = dataclasses.replace(small, bulk=True)
    assert forecast.forecast(verdict, BIG, timed, bulk).likely < (
        forecast.forecast(verdict, BIG, timed, small).likely
    )


def test_without_a_sample_a_rate_and_its_source_are_said() -> None:
    guessed = forecast.by_rate(Verdict(ALTER, COPY), BIG)
    assert guessed.low < guessed.likely < guessed.high and "conservative" in guessed.basis
    known = forecast.by_rate(Verdict(ALTER, INPLACE, rebuild=True), BIG, 100e6, "earlier")
    assert known.likely == pytest.approx(BIG.bytes / 100e6, rel=0.01) and known.basis == "earlier"


def test_disk() -> None:
    none = Timed(())
    assert forecast.disk(Verdict(ALTER, INSTANT), BIG, none) == (0, 0)
    assert forecast.disk(Verdict(ALTER, COPY, rebuild=True), BIG, none)[0] >= BIG.bytes
    index = forecast.disk(Verdict(ALTER, INPLACE, rebuild=False), BIG,
                          Timed(((500_000, 1.0),), 10 << 20))  # fmt: skip
    assert index == (int((100 << 20) * 1.2) + (128 << 20), int((100 << 20) * 1.2))


def test_missed_pages() -> None:
    assert forecast.missed(10, 20) == 0.0
    assert 0.3 < forecast.missed(40, 20) - 0 + 0.3 < 0.6
    assert forecast.missed(1e9, 1) == pytest.approx(1.0, abs=0.01)


def test_places_where_an_index_grows() -> None:
    rows: list[dict[str, Any]] = [
        {"id": i, "site": i % 3, "time": 10 * i, "visitor": (i * 7919) % 1009} for i in range(100)
    ]

    def index(*columns: tuple[str, int]) -> list[dict[str, Any]]:
        return [{"column_name": name, "distinct_values": n} for name, n in columns]

    assert places(rows, index(("time", 100))) == 1
    assert places(rows, index(("site", 3), ("time", 100))) == 3
    assert places(rows, index(("site", 3), ("visitor", 1000), ("time", 5000))) == 1000


# --- the notices -------------------------------------------------------------------------------

NOW = dt.datetime(2026, 12, 2, 1, 0, tzinfo=UTC)
WINDOW = Window(dt.datetime(2026, 12, 1, 21, 0, tzinfo=UTC), 9000, "Europe/Berlin")
SETTINGS = Settings(notice_languages=("en", "de"), notice_from="Ops <ops@example.org>",
                    notice_contact="help@example.org")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_all_templates_in_both_languages(kind: str) -> None:
    found = notices.compose(kind, SETTINGS, WINDOW, "5.3.1", "5.8.0", NOW)
    assert "Matomo" in found.subject and "$" not in found.text + found.subject
    assert "help@example.org" in found.text and "UTC" in found.text
    if kind != "end":
        assert "2026-12-01 22:00 Europe/Berlin (2026-12-01 21:00 UTC)" in found.text
        assert "02.12.2026 00:30 Europe/Berlin (2026-12-01 23:30 UTC)" in found.text
    if kind == "announcement":
        assert "2:30 hours" in found.text and "2:30 Stunden" in found.text


def test_the_announced_end_is_by_elapsed_time_over_a_change_of_clocks() -> None:
    night = Window(dt.datetime(2026, 10, 24, 23, 0, tzinfo=UTC), 3 * 3600, "Europe/Berlin")
    found = notices.compose("start", SETTINGS, night, "5.3.1", "5.8.0", NOW)
    assert "2026-10-25 03:00 Europe/Berlin (2026-10-25 02:00 UTC)" in found.text


def test_template_mistakes_are_one_line(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, notices_dir=str(tmp_path), notice_languages=("en",))
    (tmp_path / "en").mkdir()

    def compose(text: str) -> str:
        (tmp_path / "en" / "end.txt").write_text(text)
        with pytest.raises(UsageError) as caught:
            notices.compose("end", settings, None, "1", "2", NOW)
        return caught.value.line()

    assert "${nosuch} is not known" in compose("Subject: x\n\n${nosuch}")
    assert "needs --start" in compose("Subject: x\n\n${end_utc}")
    assert "first line is not" in compose("Hello\n")
    assert "dollar sign" in compose("Subject: x\n\n5 $ 3")
    with pytest.raises(UsageError, match="cannot be read"):
        notices.compose("start", settings, None, "1", "2", NOW)
    with pytest.raises(UsageError, match="is no language"):
        notices.compose("end", dataclasses.replace(settings, notice_languages=("../x",)), None,
                        "1", "2", NOW)  # fmt: skip


def test_a_mail_has_the_headers_we_gave_it_and_no_others() -> None:
    settings = dataclasses.replace(SETTINGS, notice_service="Mätomo\r\nBcc: x@evil.example")
    notice = notices.compose("end", settings, None, "5.3.1", "5.8.0", NOW)
    data = notices.mail(notice, "Ops <ops@example.org>", "kunde@example.net", NOW)
    read = email.message_from_bytes(data, policy=email.policy.default)
    assert "Bcc" not in read and read["To"] == "kunde@example.net"
    assert "Mätomo" in read["Subject"] and b"\r" not in data
    assert "wieder verfügbar" in read.get_content()


@pytest.mark.parametrize("text", ["a@b, c@d", "a@b\nBcc: c@d", "nobody", "-oX/tmp/x@y", "a b@c",
                                  "ü@example.org", "<a@b> c@d", ""])  # fmt: skip
def test_what_is_not_one_address(text: str) -> None:
    with pytest.raises(UsageError):
        notices.address(text, "notice_to")


class Answers(http.server.BaseHTTPRequestHandler):
    """A customer's webhook: its path says how it answers."""

    got: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.headers.get("Authorization", ""), body))
        if self.path == "/drop":
            return  # no answer
        self.send_response({"/no": 403, "/moved": 302}.get(self.path, 204))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *unused: object) -> None:
        pass


@pytest.fixture(scope="module")
def hook() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_webhook(hook: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-token\n")
    secret.chmod(0o600)
    head = notify.header(Settings(notice_webhook_secret=str(secret)))
    assert "204" in notify.post(f"{hook}/ok", {"kind": "end"}, head)
    assert Answers.got[-1] == ("Bearer s3cret-token", b'{"kind": "end"}')
    for path, kind, words in (("/no", MatopsError, "403"), ("/moved", MatopsError, "redirects"),
                              ("/drop", OutcomeUnknown, "may have arrived")):  # fmt: skip
        with pytest.raises(kind) as caught:
            notify.post(hook + path, {}, head)
        assert words in caught.value.line() and "s3cret" not in caught.value.line()


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://x", "https://u:p@example.org/",
                                 "https://a..b/x", "https://x.org/a b",
                                 "https://example.org:x/"])  # fmt: skip
def test_a_webhook_that_is_not_taken(url: str) -> None:
    with pytest.raises(UsageError):
        notify.post(url, {}, {})


def test_a_secret_that_others_may_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    with pytest.raises(UsageError, match="may be read by others"):
        notify.header(Settings(notice_webhook_secret=str(secret)))
    secret.chmod(0o600)
    secret.write_text("two\nX-Other: lines")
    with pytest.raises(UsageError, match="one line"):
        notify.header(Settings(notice_webhook_secret=str(secret)))
