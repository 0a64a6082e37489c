"""Log formats: what the quick way reads, the whole way reads alike; escapes and stamps."""

from __future__ import annotations

import pytest

from matops.accesslog import jsonform, lineform, stamps
from matops.accesslog.lineform import COMBINED, Form

TRACKER = rb"[^ ?\"\\]*/(?:matomo|piwik)\.php"
T = b"22/Nov/2026:12:45:42 +0100"
EPOCH = b"1795347942.000"
CASES = {
    "combined": (COMBINED, b'192.0.2.7 - - [%b] "GET /matomo.php?idsite=1&rec=1 HTTP/1.1" 204 0 '
                 b'"https://a.example/x" "Mozilla/5.0 (X11)"' % T),
    "vhost": ("%v:%p " + COMBINED, b'stats.example:443 2001:db8::1 - - [%b] "POST '
              b'/m/piwik.php?idsite=2 HTTP/2.0" 200 43 "-" "Agent"' % T),
    "forwarded": ('%{X-Forwarded-For}i %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D '
                  '"%{Host}i"',
                  b'192.0.2.7 - joe [%b] "GET /matomo.php?idsite=1 HTTP/1.1" 204 - "-" "A" 1234 '
                  b'"h"' % T),
    "iso": ('%{%Y-%m-%dT%H:%M:%S%z}t|%m|%U|%q|%>s|%a|%{User-Agent}i',
            b"2026-11-22T12:45:42+0100|GET|/matomo.php|?idsite=1|204|192.0.2.7|A b"),
    "split": ('%a %l %u [%{%d/%b/%Y:%H:%M:%S}t.%{msec_frac}t %{%z}t] "%r" %>s %b',
              b'192.0.2.7 - - [22/Nov/2026:12:45:42.000 +0100] "GET /matomo.php?idsite=1 HTTP/1.1"'
              b" 204 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_quick_and_whole_agree(name: str) -> None:
    text, line = CASES[name]
    form = lineform.of_apache(text, TRACKER)
    assert form.quick
    found = form.quick(line)
    assert found, "the quick way reads it"
    quick = [b"" if value == b"-" else value for value in found.group(*form.order)]
    whole = form.whole(line)
    assert whole and tuple(whole) == tuple(quick)
    assert form.bulk
    rows = form.bulk.findall(b"another line\n%b\n%b\n" % (line, line))
    logged = list(found.group(*form.order))
    assert [[row[group - 1] for group in form.order] for row in rows[1:]] == [logged, logged]
    assert not any(rows[0])
    assert form.stamp(line) == EPOCH == stamps.key(whole.stamp)
    assert whole.path.endswith(b".php") and whole.query.startswith(b"idsite=")


def test_what_is_no_plain_hit_goes_the_whole_way() -> None:
    form = lineform.of_apache(COMBINED, TRACKER)
    line = (
        b'192.0.2.7 - a b [%b] "GET /matomo.php?u=\\xe9\\"&v=%%20 w HTTP/1.1" 200 1 "-" "\\t\xff"'
    )
    found = form.whole(line % T)
    assert found and (found.query, found.agent) == (b'u=\xe9"&v=%20 w', b"\t\xff")
    assert form.quick and not form.quick(
        b'1.2.3.4 - - [%b] "GET /x?matomo.php?a HTTP/1.1" 200 1 "-" "-"' % T
    )


def test_nginx_escapes_and_msec() -> None:
    form = lineform.of_nginx('$msec $remote_addr "$request" $status "$http_user_agent"', TRACKER)
    line = b'1795347942.123 ::1 "GET /matomo.php?idsite=1 HTTP/1.1" 204 "a\\x22\\x5Cn"'
    found = form.whole(line)
    assert found and found.agent == b'a"\\n'
    assert form.stamp(line) == b"1795347942.123"


@pytest.mark.parametrize(
    ("form", "line"),
    [
        (
            jsonform.of_nginx('{"t":"$time_iso8601","c":"$remote_addr","r":"$request",'
                              '"s":$status,"ua":"$http_user_agent"}'),
            b'{"t":"2026-11-22T12:45:42+01:00","c":"192.0.2.7","r":"GET /matomo.php?idsite=1 '
            b'HTTP/1.1","s":204,"ua":"\xff\\u0009"}',
        ),
        (
            jsonform.usual(),
            b'{"ts":1795347942.0,"request":{"remote_ip":"192.0.2.7","method":"GET","host":"h",'
            b'"uri":"/matomo.php?idsite=1","headers":{"User-Agent":["\xff\\t"]}},"status":204}',
        ),
    ],
)  # fmt: skip
def test_json(form: Form, line: bytes) -> None:
    found = form.whole(line)
    assert found and found[:5] == (found.stamp, b"GET", b"/matomo.php", b"idsite=1", b"192.0.2.7")
    assert (found.agent, found.status, form.stamp(line)) == (b"\xff\t", b"204", EPOCH)


def test_stamps_know_zones_and_refuse_wall_clocks() -> None:
    before, after = b"25/Oct/2026:02:30:00 +0200", b"25/Oct/2026:02:10:00 +0100"
    one, two = stamps.key(before), stamps.key(after)
    assert one and two and one < two
    assert stamps.key(b"2026-11-22 12:45:42") is None
    assert stamps.key(b"2026-11-22T11:45:42.5Z") == b"1795347942.500"
    assert stamps.key(b"99/Nov/2026:12:45:42 +0100") is None
    assert stamps.key(b"1795347942123") == b"1795347942.123"
