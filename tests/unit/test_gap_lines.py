"""logs.gap and the lines: which are hits, which were recorded, what is written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matops.accesslog import gapfile
from matops.accesslog.cut import forwarded_ip
from matops.accesslog.verdict import (
    BODY,
    BODY_OUTSIDE,
    EMPTY,
    NO_SITE,
    OTHER_HOST,
    OURS,
    REDIRECTED,
    UNREAD,
    Edge,
    Window,
)
from matops.errors import Refused
from matops.runbook import log_gap_judge as judge
from tests.unit.gap_kit import START, busy, cut, line, numbers, window

VHOST = "stats.example:443 "


def write(tmp_path: Path, *lines: bytes) -> Path:
    """A log with these among ordinary ones that are no hits."""
    quiet = [line(START + at, 0, path="/robots.txt", query="") for at in range(-20, 620, 20)]
    log = tmp_path / "access.log"
    log.write_bytes(b"".join([quiet[0], *lines, *quiet[1:]]))
    return log


def test_what_is_no_hit_is_counted_by_reason(tmp_path: Path) -> None:
    at = START + 5
    log = write(
        tmp_path,
        line(at, 1),
        line(at, 2, path="/js/"),
        line(at, 3, path="/sub/piwik.php", method="POST", status=204),
        line(at, 4, query="", method="POST", status=200),
        line(at, 5, query=""),
        line(at, 6, query="rec=1"),
        line(at, 7, method="OPTIONS", status=204),
        line(at, 8, status=302),
        line(at, 9, status=403),
        line(at, 10, query="idsite=1&matops_check=x"),
        line(at, 11, path="/matomo.php.bak"),
        line(at, 12, path="/other", query="u=/matomo.php?idsite=1"),
    )
    hits, report = cut(tmp_path, [log])
    assert numbers(hits) == [1, 2, 3]
    reasons = {k: v for k, v in report["reasons"].items() if k != "replay"}
    assert reasons == {
        BODY: 1, EMPTY: 1, NO_SITE: 1, "no tracking request (OPTIONS)": 1, REDIRECTED: 1,
        "refused by the web server (403)": 1, OURS: 1,
    }  # fmt: skip
    hits, _ = cut(tmp_path, [log], window(statuses=[b"403"]), paths=["/other"])
    assert any(hit.status == 403 for hit in hits) and any(hit.path == "/other" for hit in hits)


def test_bodies_that_came_while_tracking_was_on_are_not_lost(tmp_path: Path) -> None:
    times = (95, 98, 99, 100, 200, 202, 205)
    posts = [line(START + at, at, query="", method="POST", status=200) for at in times]
    log = write(tmp_path, *posts)
    _, report = cut(tmp_path, [log], window(100, 200, margin=30.0))
    assert (report["reasons"][BODY], report["reasons"][BODY_OUTSIDE]) == (3, 4)


def test_edges_by_status(tmp_path: Path) -> None:
    """200 pixel: recorded. 503: not. 204: near an edge only the database knows."""
    edges = {"off": Edge(START, START + 0.5), "on": Edge(START + 599, START + 600), "margin": 10.0}
    wanted = Window(START, START + 600, **edges)  # type: ignore[arg-type]
    lines = [
        line(START - 15, 1, status=503), line(START - 5, 2, status=503),
        line(START - 5, 3, status=200), line(START + 5, 4, status=204),
        line(START + 300, 5, status=204), line(START + 300, 6, status=200),
        line(START + 300, 7, status=500), line(START + 605, 8, status=204),
        line(START + 611, 9, status=204), line(START + 300, 10, status=400),
    ]  # fmt: skip
    hits, _ = cut(tmp_path, [write(tmp_path, *lines)], wanted)
    found = {n: hit.flags for n, hit in zip(numbers(hits), hits)}
    assert found == {2: "E", 3: "ER", 4: "E", 5: "", 6: "", 7: "", 8: "E", 10: ""}
    asked = [n for _, hit in gapfile.read(tmp_path / ".work.asked") for n in numbers([hit])]
    assert sorted(asked) == [3, 4, 6, 8]


def test_without_marks_the_database_is_asked_everywhere(tmp_path: Path) -> None:
    lines = [line(START + 300, n, status=s) for n, s in enumerate((503, 204, 200, 502, 400))]
    cut(tmp_path, [write(tmp_path, *lines)], window(marked=False))
    asked = [numbers([hit])[0] for _, hit in gapfile.read(tmp_path / ".work.asked")]
    assert asked == [1, 2, 3]


def test_output_is_ascii_and_hides_tokens(tmp_path: Path) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    query = f'idsite=1&u=\xe9\\xf6 y\\"&token_auth={secret}&n=1'
    log = write(tmp_path, line(START + 1, 1, query=query, agent="caf\xe9 \x80\\x22\\t"))
    hits, report = cut(tmp_path, [log])
    text = (tmp_path / ".work.sure").read_bytes()
    assert text.isascii() and secret.encode() not in text
    assert hits[0].query.startswith("idsite=1&u=%E9%F6%20y%22&token_auth=~")
    assert gapfile.unescape(hits[0].agent) == b'caf\xe9 \x80"\t'
    assert list(report["tokens"].values()) == [secret] and "T" in hits[0].flags


def test_formats_in_one_file_and_hosts_of_others(tmp_path: Path) -> None:
    lines = [
        line(START + 1, 1), line(START + 2, 2, before=VHOST),
        line(START + 3, 3, before="shop.example:443 "), line(START + 4, 4, rest=' 123 "x"'),
        line(START + 5, 5, before=VHOST, agent="a\\\"b"),
    ]  # fmt: skip
    hits, report = cut(tmp_path, [write(tmp_path, *lines)], elsewhere=frozenset([b"shop.example"]))
    assert numbers(hits) == [1, 2, 4, 5]
    assert {hit.host for hit in hits} == {"", "stats.example"}
    assert hits[-1].agent == 'a"b'
    assert report["reasons"][OTHER_HOST] == 1


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    broken = line(START + 1, 1).replace(b'HTTP/1.1"', b"")
    log = write(tmp_path, *[broken] * 10, line(START + 2, 2))
    hits, report = cut(tmp_path, [log])
    assert (numbers(hits), report["reasons"][UNREAD]) == ([2], 10)
    with pytest.raises(Refused, match="10 of 11 lines that name the tracker are not understood"):
        judge.refuse(report, window(), [], {}, "/")


def test_a_broken_line_takes_no_other_with_it(tmp_path: Path) -> None:
    """Read together with the next one, it would be one hit with the fields of both."""
    cut_off = line(START + 1, 1).partition(b'"Agent')[0] + b'"Ag\n'
    for place, broken in enumerate((cut_off, b"no-blank-in-it\n", b"\n", b"x [\n")):
        log = write(tmp_path, line(START + 2, 2), broken, line(START + 3, 3))
        hits, report = cut(tmp_path, [log])
        assert numbers(hits) == [2, 3]
        assert report["reasons"].get(UNREAD, 0) == (not place)


def test_without_marks_or_behind_a_proxy_the_hits_are_the_same(tmp_path: Path) -> None:
    """Neither goes the quickest way; nothing else may differ."""
    lines = [line(START + n, n, ip="-" if n == 5 else "") for n in range(-60, 700)]
    (tmp_path / "access.log").write_bytes(b"".join(lines))
    quick, _ = cut(tmp_path, [tmp_path / "access.log"])
    slow, _ = cut(tmp_path, [tmp_path / "access.log"], window(marked=False))
    assert [hit._replace(flags="") for hit in slow] == quick and len(quick) == 600
    assert {hit.flags for hit in slow} == {"E"} and quick[5].ip == ""


def test_json_logs(tmp_path: Path) -> None:
    def entry(at: float, n: int, uri: str) -> bytes:
        return (
            f'{{"ts":{at:.1f},"request":{{"remote_ip":"192.0.2.7","method":"GET","uri":"{uri}",'
            f'"headers":{{"User-Agent":["A \\u00e9"]}}}},"status":503,"size":{n}}}\n'
        ).encode()

    lines = [entry(START + at, at, f"/matomo.php?idsite=1&n={at}") for at in range(-60, 700)]
    (tmp_path / "access.log").write_bytes(b"".join(lines))
    hits, report = cut(tmp_path, [tmp_path / "access.log"])
    assert numbers(hits) == list(range(600))
    assert gapfile.text(hits[0].agent) == "A \xe9" and hits[0].ip == "192.0.2.7"
    assert not report["holes"]


def test_the_day_the_clocks_go_back(tmp_path: Path) -> None:
    """The same wall clock comes twice: 02:00 to 03:00 +0200, then +0100."""
    change = 1_792_890_000  # 2026-10-25 01:00:00 UTC
    lines = [line(change + at, at, zone=2 if at < 0 else 1) for at in range(-3600, 3600, 5)]
    (tmp_path / "access.log").write_bytes(b"".join(lines))
    first, last = change - 1800, change + 1800
    wanted = Window(first, last, Edge(first, first), Edge(last, last), 0.0)
    hits, _ = cut(tmp_path, [tmp_path / "access.log"], wanted)
    assert numbers(hits) == list(range(-1800, 1800, 5))


def test_two_logs_of_the_same_requests(tmp_path: Path) -> None:
    front, back = tmp_path / "front_access.log", tmp_path / "back_access.log"
    lines = busy(-60, 700)
    front.write_bytes(b"".join(text for _, text in lines))
    proxied = [line(at, int(at - START), ip="127.0.0.1") for at, _ in lines]
    back.write_bytes(b"".join(proxied))
    hits, report = cut(tmp_path, [front, back])
    assert numbers(hits) == list(range(600))
    assert len({hit.ip for hit in hits}) > 100
    assert any("back_access.log has the same requests" in note for note in report["notes"])
    others = [line(at, 5000 + int(at - START)) for at, _ in lines]
    back.write_bytes(b"".join(t for pair in zip(proxied[:200], others[:200]) for t in pair)
                     + b"".join(others[200:]))  # fmt: skip
    with pytest.raises(Refused, match="have some requests in common"):
        cut(tmp_path, [front, back])


@pytest.mark.parametrize(
    ("address", "config", "refused"),
    [
        ("127.0.0.1", {"General": {"proxy_client_headers": ["HTTP_X_FORWARDED_FOR"]}}, "a proxy"),
        ("127.0.0.1", {}, ""),
        ("-", {}, "no client addresses"),
        ("host.example", {}, "names instead of"),
    ],
)
def test_addresses(tmp_path: Path, address: str, config: Any, refused: str) -> None:
    lines = [line(START + at, at, ip=address) for at in range(-60, 700)]
    (tmp_path / "access.log").write_bytes(b"".join(lines))
    _, report = cut(tmp_path, [tmp_path / "access.log"])
    if not refused:
        judge.refuse(report, window(), [], config, "/")
        return
    with pytest.raises(Refused, match=refused):
        judge.refuse(report, window(), [], config, "/")
    judge.refuse(report, window(), ["addresses"], config, "/")


def test_forwarded_addresses() -> None:
    assert forwarded_ip(b"192.0.2.1, 10.0.0.1", "last") == b"10.0.0.1"
    assert forwarded_ip(b"192.0.2.1:4711", "first") == b"192.0.2.1"
    assert forwarded_ip(b'for="[2001:db8::1]";proto=https', "last") == b"2001:db8::1"


def test_formats_and_addresses_mixed_in_one_file(tmp_path: Path) -> None:
    """Two formats, a forwarded-for field, tokens, lines out of order: every hit once, in order,
    with its own address, whichever way it went."""
    made = []
    for place, (at, text) in enumerate(busy(-60, 700, 0.25)):
        number = int((at - START) * 4)
        text = line(at, number, query=f"idsite=1&rec=1&n={number}", agent="-")
        if place % 3 == 0:
            text = text.replace(b"\n", b' "203.0.113.%d, 198.51.100.7"\n' % (place % 200))
        else:
            text = text.replace(b"\n", b' "-"\n')
        if place % 7 == 0:
            text = text.replace(b"rec=1", b"rec=1&token_auth=" + b"0" * 32)
        made.append((at + (2.5 if place % 11 == 0 else 0), b"a.example:443 " * (place % 2) + text))
    made.sort(key=lambda pair: pair[0])
    (tmp_path / "access.log").write_bytes(b"".join(text for _, text in made))
    end = r' %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" \"%{X-Forwarded-For}i\""'
    texts = [
        f'LogFormat "{start}{end} {name}' for start, name in (("%h", "one"), ("%v:%p %h", "two"))
    ]
    texts += [f"CustomLog {tmp_path}/access.log {name}" for name in ("one", "two")]
    web = {"apache": {"lines": [("x.conf", text) for text in texts], "variables": {},
                      "server_root": "/"}}  # fmt: skip
    hits, report = cut(tmp_path, [tmp_path / "access.log"], web=web, forwarded="first")
    assert sorted(numbers(hits)) == list(range(2400)) and len(report["tokens"]) == 1
    places = [(hit.epoch, hit.offset) for hit in hits]
    assert places == sorted(places)
    for hit in hits:
        place = numbers([hit])[0] + 240
        own = f"192.0.2.{numbers([hit])[0] % 250 + 1}"
        assert hit.ip == (f"203.0.113.{place % 200}" if place % 3 == 0 else own)
        assert ("F" in hit.flags) == (place % 3 == 0) and ("T" in hit.flags) == (place % 7 == 0)
        assert hit.host == ("a.example" if place % 2 else "") and not hit.agent
    assert report["reasons"] == {"replay": 2400}
