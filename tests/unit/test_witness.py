"""What an answer is, which line is a health check, and when hits no longer arrive."""

from __future__ import annotations

from typing import Any

import pytest

from matops.matomo import witness, witness_http, witness_logs
from matops.runbook.arrival import Arrival, lost
from matops.runbook.maintenance import would_close

PAGE = "We will be back up and running again soon"


def answer(status: int, body: str = "", type_: str = "text/html") -> dict[str, Any]:
    """As ``witness_http.ask`` has it."""
    return {"status": status, "body": body, "type": type_, "location": "", "error": "",
            "url": "http://a/x", "where": "127.0.0.1:80", "public": False}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, f"<h1>x</h1>{PAGE}", witness.MAINTENANCE),
        (200, f"<h1>x</h1>{PAGE}", witness.MAINTENANCE),  # multi_server_environment
        (503, "<title>Matomo is undergoing maintenance</title>", witness.MAINTENANCE),
        (503, "No server is available to handle this request", "error"),
        (200, "<title>Sign in - Matomo</title>", witness.UI),
        (200, "<b>Fatal error</b>: Uncaught", "error"),
        (500, "", "error"),
        (401, "", "refused"),
        (302, "", "redirect"),
        (200, "It works!", "something else"),
        (0, "", "no answer"),
    ],
)
def test_what_the_ui_answers(status: int, body: str, kind: str) -> None:
    assert witness_http.ui_kind(answer(status, body), PAGE) == kind


@pytest.mark.parametrize(
    ("status", "body", "type_", "kind"),
    [
        (200, "This resource is part of Matomo. Keep full", "text/html", witness.RECORDING),
        (503, "GIF89a", "image/gif", witness.OFF),
        (503, "<html>no backend</html>", "text/html", "error"),
        (400, "", "text/html", "something else"),
        (200, "", "text/html", witness.QUEUE),
        (500, "GIF89a", "image/gif", "error"),
    ],
)
def test_what_the_tracker_answers(status: int, body: str, type_: str, kind: str) -> None:
    assert witness_http.tracker_kind(answer(status, body, type_)) == kind


def test_targets_are_the_public_name_and_this_machine() -> None:
    config = 'trusted_hosts[] = "a.example"\ntrusted_hosts[] = "b.example:8080"\nforce_ssl = 1\n'
    (found,) = witness_http.targets("", config, here=False)
    assert (found["name"], found["port"], found["secure"]) == ("a.example", 443, True)
    (found,) = witness_http.targets("http://x.example/stats/index.php", config, here=False)
    assert (found["name"], found["port"], found["base"]) == ("x.example", 80, "/stats/")
    (found,) = witness_http.targets("http://x.example/stats", config, here=False)
    assert found["base"] == "/stats/"
    assert witness_http._address("0100007F:0050", 4) == ("127.0.0.1", 80)
    assert witness_http._address("00000000000000000000000000000000:01BB", 16)[1] == 443


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('10.0.0.1 - - [x] "GET / HTTP/1.1" 200 5 "-" "ELB-HealthChecker/2.0"',
         ("ELB-HealthChecker/2.0", "GET", "/", 200)),
        ('h:80 10.0.0.1 - - [x] "HEAD /index.php?a=1 HTTP/1.1" 200 5 "-" "kube-probe/1.29"',
         ("kube-probe/1.29", "HEAD", "/index.php?a=1", 200)),
        ('10.0.0.1 - - [x] "OPTIONS / HTTP/1.0" 200 5 "-" "-"', ("", "OPTIONS", "/", 200)),
        ('::1 - - [x] "OPTIONS * HTTP/1.0" 200 5 "-" "Apache (internal dummy connection)"', None),
        ('10.0.0.1 - - [x] "GET /matomo.php?idsite=1 HTTP/1.1" 200 5 "-" "Mozilla/5.0"', None),
        ("garbage", None),
    ],
)  # fmt: skip
def test_health_checks_in_a_log(line: str, found: Any) -> None:
    check = witness_logs.health_check(line)
    assert (check and (check["agent"], check["method"], check["path"], check["status"])) == found


def test_which_health_check_maintenance_would_break() -> None:
    assert would_close({"path": "/", "now": 200}, False)
    assert would_close({"path": "/stats/index.php?x=1", "now": 302}, False)
    assert not would_close({"path": "/", "now": 200}, True), "multi_server_environment: 200"
    assert not would_close({"path": "/matomo.php", "now": 200}, False)
    assert not would_close({"path": "/", "now": 503}, False), "it fails already"


def arrived(kind: str = witness.RECORDING, status: int = 204, *logs: str) -> Arrival:
    """A look at the tracker and the logs."""
    sent = [
        {"url": "http://a/m?x", "where": "w", "public": True, "status": status, "error": "gone"}
    ]
    tracker = [{"url": "http://a/m", "where": "w", "public": True, "status": 200, "kind": kind,
                "error": ""}]  # fmt: skip
    return Arrival(
        tracker, {"sent": sent, "logs": [{"path": p, "local": p != "/log/p"} for p in logs]}
    )


def test_what_no_longer_arrives_is_told() -> None:
    before = arrived(witness.RECORDING, 204, "/log/a", "/log/b")
    assert lost(before, before) == ""
    assert "no longer arrive in /log/b" in lost(before, arrived(witness.RECORDING, 204, "/log/a"))
    assert "no longer answered: http://a/m: gone" in lost(before, arrived(status=0))
    assert "no longer answers as before" in lost(before, arrived("off", 204, "/log/a", "/log/b"))
    assert lost(before, arrived("off", 204, "/log/a", "/log/b"), same_kind=False) == ""
    public = arrived(witness.RECORDING, 204, "/log/p")
    assert lost(public, arrived(), alone=False) == "", "the balancer chose another server"
    assert "no longer arrive in /log/p" in lost(public, arrived())
    assert lost(arrived(), arrived()) == "", "no log was readable before either"
    for each in before.marker["logs"]:
        each["inode"] = 7
    rotated = arrived(witness.RECORDING, 204, "/log/a.1")
    rotated.marker["logs"][0]["inode"] = 7
    assert lost(before, rotated) == "", "renamed: the server still writes to it"
