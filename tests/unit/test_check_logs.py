"""The rules for access logs: the marker request, its sender's address, and retention."""

from __future__ import annotations

from typing import Any

import pytest

from matops.matomo import ini
from matops.runbook.checks import logs
from tests.unit.check_facts import LINE, LOG, facts


@pytest.mark.parametrize(
    ("logged", "verdict"),
    [
        ("192.0.2.7", "real"), ("::ffff:192.0.2.7", "real"), ("192.0.2.0", "masked"),
        ("192.0.0.0", "masked"), ("0.0.0.0", "masked"), ("127.0.0.1", "other"),
        ("host.example.org", "other"), ("192.0.3.0", "other"),
    ],
)  # fmt: skip
def test_addresses(logged: str, verdict: str) -> None:
    assert logs.compare(logged, "192.0.2.7") == verdict


def test_masked_ipv6() -> None:
    assert logs.compare("2001:db8:1:2::", "2001:db8:1:2:a:b:c:d") == "masked"
    assert logs.compare("2001:db8:1:3::", "2001:db8:1:2:a:b:c:d") == "other"


def hit(line: str, how: str = "query") -> dict[str, Any]:
    return {"marker.hits": [{"path": LOG, "how": how, "line": line}]}


def test_the_marker() -> None:
    assert logs.marker(facts()).status == "ok"
    assert logs.marker(facts({"marker.hits": []})).status == "warn"
    assert "no query string" in logs.marker(facts(hit(LINE, "agent"))).found
    masked = logs.marker(facts(hit(LINE.replace("192.0.2.7", "192.0.2.0"))))
    assert masked.status == "warn"
    assert "masked (192.0.2.0)" in masked.found
    proxy = logs.marker(facts(hit(LINE.replace("192.0.2.7", "10.0.0.1"))))
    assert "mod_remoteip" in proxy.todo
    silent = {"marker.sent": {"status": 0, "tried": ["https://x/: timed out"]}}
    assert logs.marker(facts(silent)).status == "unknown"


def test_of_two_servers_in_a_row_the_better_log_counts() -> None:
    behind = {"path": "/var/log/b.log", "how": "query", "line": LINE.replace("192.0.2.7", "::1")}
    result = logs.marker(facts({"marker.hits": [behind, {"path": LOG, "how": "query",
                                                         "line": LINE}]}))  # fmt: skip
    assert (result.status, result.figures["path"]) == ("ok", LOG)


def test_past_the_proxy_is_not_proof() -> None:
    config = ini.parse('[General]\nproxy_client_headers[] = "HTTP_X_FORWARDED_FOR"\n')
    result = logs.marker(facts({"marker.sent.loopback": True}, config=config))
    assert result.status == "unknown"


def test_retention() -> None:
    assert logs.retention(facts()).status == "ok"
    assert logs.retention(facts(window=20 * 86400)).status == "fail"
    young = {"web.files": {LOG: {"stamp": "15/Jan/2027:07:00:00 +0000", "real": LOG}}}
    assert logs.retention(facts(young)).status == "warn"
    none = {"web.logrotate": {"main": "", "files": {}}}
    assert logs.retention(facts(none)).status == "ok"  # ten days are really there
    assert logs.retention(facts({**none, **young})).status == "unknown"
    denied = {"web.files": {LOG: {"error": "Permission denied"}}, "marker.hits": []}
    assert logs.retention(facts(denied)).status == "unknown"
