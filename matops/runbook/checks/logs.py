"""Checks of the access logs: can the hits of the outage be read back from them?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Optional

from matops.accesslog import discover, rotation
from matops.accesslog.discover import AccessLog
from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult, Facts
from matops.units import show_duration, show_epoch

REAL, MASKED, OTHER, FORWARDED, NONE = "real", "masked", "other", "forwarded", "none"

_NO_REPLAY = "replay from logs is not available"
_CLIENT_FIX = {
    "apache": "mod_remoteip (RemoteIPHeader, RemoteIPInternalProxy) and %a in the LogFormat",
    "nginx": "set_real_ip_from and real_ip_header",
    "": "the real address in the log format",
}


def known_logs(facts: Facts) -> list[AccessLog]:
    """What the configuration of the web servers says is logged where."""
    web = facts.probe("web")
    logs: list[AccessLog] = []
    apache, nginx = web.get("apache"), web.get("nginx")
    running = " ".join(web.get("running", {}))
    # Installed and configured, but not running: its logs are nobody's.
    if apache and re.search(r"apache2|httpd", running):
        logs += discover.apache_logs(apache["lines"], apache["variables"], apache["server_root"])
    if nginx and "nginx" in running:
        logs += discover.nginx_logs(nginx["text"])
    return logs


def best_hit(facts: Facts) -> Optional[Mapping[str, Any]]:
    """The log line that shows most of the marker request: with two servers in a row, both log."""
    order = {REAL: 0, FORWARDED: 1, MASKED: 2, OTHER: 3, NONE: 4}
    hits = [
        {**hit, "log": log_of(facts, hit["path"]), "address": address_in(facts, hit)}
        for hit in facts.probe("marker").get("hits", [])
    ]
    hits.sort(key=lambda hit: (hit["how"] != "query", order[hit["address"][0]]))
    return hits[0] if hits else None


def log_of(facts: Facts, path: str) -> Optional[AccessLog]:
    """The configured log that is this file."""
    wanted = discover.family(path)
    return next((log for log in known_logs(facts) if discover.family(log.path) == wanted), None)


def address_in(facts: Facts, hit: Mapping[str, Any]) -> tuple[str, str]:
    """How the line shows the sender: ``(real | masked | other | forwarded | none, address)``."""
    source = str(facts.probe("marker")["sent"]["source"])
    log = log_of(facts, hit["path"])
    fields = log.format.read(hit["line"]) if log else None
    if fields is None:
        found = re.findall(r"(?<![\w.:])(?:\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F:]+:[\w:]*)"
                           r"(?![\w.:])", hit["line"])  # fmt: skip
        fields = {"client": found[0]} if found else {}
    client, handed = fields.get("client", ""), fields.get("forwarded", "")
    verdict = compare(client, source) if client not in ("", "-") else NONE
    if verdict != REAL and handed and compare(handed.split(",")[0].strip(), source) == REAL:
        return FORWARDED, handed
    return verdict, client


def compare(logged: str, source: str) -> str:
    """real: the same address; masked: the same, its end zero; other: anything else."""
    try:
        one, two = (_plain(ipaddress.ip_address(text.strip("[]"))) for text in (logged, source))
    except ValueError:
        return OTHER  # a host name (HostnameLookups), or a hash
    if one == two:
        return REAL
    if one.version == two.version:
        width = one.max_prefixlen
        step = 8 if one.version == 4 else 16
        for kept in range(width - step, -1, -step):
            if int(one) == (int(two) >> (width - kept)) << (width - kept):
                return MASKED
    return OTHER


def _plain(address: Any) -> Any:
    return getattr(address, "ipv4_mapped", None) or address


def marker(facts: Facts) -> CheckResult:
    """A request to the tracker shows up in an access log, whole and with its sender."""
    wanted = "the marker request, with query string and its sender's address"
    seen = facts.probe("marker")
    sent = seen.get("sent")
    if not sent:
        denied = ", ".join(facts.probe("web").get("denied", [])[:3])
        reason = str(seen.get("error") or seen.get("reason") or "not tried")
        return CheckResult("access-log", UNKNOWN, f"{reason}{f' ({denied})' if denied else ''}",
                           wanted, "give this account sudo, or name the logs: access_logs in "
                           "config/matops.yaml")  # fmt: skip
    if not sent["status"]:
        return CheckResult(
            "access-log",
            UNKNOWN,
            f"no answer: {'; '.join(sent['tried'])}",
            wanted,
            "set url to Matomo's public address in config/matops.yaml",
        )
    hit = best_hit(facts)
    figures: dict[str, Any] = {"url": sent["url"], "status": sent["status"],
                               "source": sent["source"]}  # fmt: skip
    if hit is None:
        return CheckResult("access-log", WARN, f"{_NO_REPLAY}: {_why_absent(facts)}", wanted,
                           "name the right log: access_logs in config/matops.yaml, or switch "
                           "logging on for the tracker", figures)  # fmt: skip
    verdict, address = hit["address"]
    figures.update(path=hit["path"], how=hit["how"], address=address, verdict=verdict)
    return _judge(facts, hit, wanted, figures)


def _judge(
    facts: Facts, hit: Mapping[str, Any], wanted: str, figures: dict[str, Any]
) -> CheckResult:
    path, (verdict, address), log = hit["path"], hit["address"], hit["log"]
    kind = log.kind if log else ""
    sent = facts.probe("marker")["sent"]
    where = f"{path}, asked {sent['url']}"
    if hit["how"] != "query":
        return CheckResult("access-log", WARN, f"{_NO_REPLAY}: {path} has no query string", wanted,
                           "log the whole request line: %r (Apache), $request (nginx)",
                           figures)  # fmt: skip
    if verdict != REAL:
        says = {
            MASKED: f"the address is masked ({address})",
            OTHER: f"{address} is logged, {sent['source']} asked: a proxy's address (or NAT)",
            FORWARDED: f"the address stands only in the forwarded field ({address})",
            NONE: "no client address is logged",
        }[verdict]
        return CheckResult(
            "access-log",
            WARN,
            f"{_NO_REPLAY}: {path}: {says}",
            wanted,
            f"log the visitor's address: {_CLIENT_FIX[kind]}",
            figures,
        )
    behind = facts.config.get("General", {}).get("proxy_client_headers")
    if behind and sent.get("loopback"):
        return CheckResult(
            "access-log", UNKNOWN, f"{where}, past the proxy that proxy_client_headers names",
            wanted, "set url to Matomo's public address, as visitors reach it", figures,
        )  # fmt: skip
    if log and log.condition:
        return CheckResult("access-log", WARN, f"{path} has it, but logs only with "
                           f"{log.condition}", wanted, "check that no tracking request is left "
                           "out by this condition", figures)  # fmt: skip
    return CheckResult("access-log", OK, where, wanted, "", figures)


def _why_absent(facts: Facts) -> str:
    searched = ", ".join(facts.probe("marker").get("searched", [])[:3])
    reasons = []
    logs = known_logs(facts)
    if any(log.off for log in logs):
        reasons.append("access_log off")
    if any(log.program and not log.path for log in logs):
        reasons.append("logs go to a program or to syslog")
    if any(log.buffered for log in logs):
        reasons.append("logs are buffered: lines come late")
    if any(log.condition for log in logs):
        reasons.append("some requests are not logged, by a condition")
    if any(not log.format.has_query for log in logs):
        reasons.append("a format without the query string")
    extra = f" ({'; '.join(reasons)})" if reasons else ""
    return f"the request was answered, but is not in {searched}{extra}"


def retention(facts: Facts) -> CheckResult:
    """How long logs are kept: what logrotate says, and the oldest that is really there."""
    web, window = facts.probe("web"), facts.window
    wanted = f"{show_duration(window)} or more (the planned window)"
    path = tracker_log(facts)
    if not path:
        return CheckResult("log-retention", UNKNOWN, "no access log was found or is readable",
                           wanted, "give this account sudo, or name the logs: access_logs in "
                           "config/matops.yaml")  # fmt: skip
    rule = _rule(facts, path)
    oldest = _oldest(facts, path)
    now = float(facts.probe("machine").get("clock") or facts.after)
    age = None if oldest is None else now - oldest
    kept = rule.kept if rule else None
    figures = {"log": path, "configured": kept, "oldest": oldest, "age": age, "window": window}
    says = f"{rule.shown} ({rule.where})" if rule else "no logrotate rule"
    real = "nothing logged yet" if oldest is None or age is None else (
        f"oldest line {show_epoch(oldest)}, {show_duration(age)} ago")  # fmt: skip
    found = f"{path}: {says}; {real}"
    where = rule.where if rule else "logrotate"
    if kept is not None and kept < window:
        return CheckResult("log-retention", FAIL, found, wanted,
                           f"rotate more copies in {where}: the gap's lines must still be there "
                           "when it is replayed", figures)  # fmt: skip
    if age is not None and age >= window:
        return CheckResult("log-retention", OK, found, wanted, "", figures)
    trouble = web.get("files", {}).get(path, {}).get("error", "")
    if trouble:
        return CheckResult("log-retention", UNKNOWN, f"{path}: {says}; {trouble}", wanted,
                           "give this account sudo, or let it read the logs",
                           figures)  # fmt: skip
    if kept is not None:
        return CheckResult(
            "log-retention", WARN, found, wanted,
            "is this host young, or does something else remove logs? By its rule they stay",
            figures,
        )  # fmt: skip
    return CheckResult(
        "log-retention", UNKNOWN, found, wanted,
        "keep the logs by age (daily, rotate N) for longer than the window", figures,
    )  # fmt: skip


def tracker_log(facts: Facts) -> str:
    """The log that the tracker's requests go to: seen there, else the configuration's word."""
    hit = best_hit(facts)
    if hit:
        return str(hit["path"])
    names = {_host(facts.settings.url), *(str(n) for n in _trusted(facts))} - {""}
    live = list(facts.probe("web").get("logs", []))
    for log in known_logs(facts):
        if set(log.names) & names or log.docroot.rstrip("/") == facts.docroot:
            for path in live:
                if discover.family(path) == discover.family(log.path):
                    return str(path)
    return str(live[0]) if live else ""


def _trusted(facts: Facts) -> list[str]:
    value = facts.config.get("General", {}).get("trusted_hosts", [])
    return value if isinstance(value, list) else [value]


def _host(url: str) -> str:
    return re.sub(r"^\w+://|[:/].*$", "", url)


def _rule(facts: Facts, path: str) -> Optional[rotation.Rotation]:
    seen = facts.probe("web").get("logrotate", {"files": {}, "main": ""})
    real = facts.probe("web").get("files", {}).get(path, {}).get("real", "")
    return rotation.find(rotation.parse(seen["files"], seen["main"]), path, real)


def _oldest(facts: Facts, path: str) -> Optional[float]:
    wanted = discover.family(path)
    stamps = [
        discover.stamp_epoch(file.get("stamp", ""))
        for name, file in facts.probe("web").get("files", {}).items()
        if discover.family(name) == wanted
    ]
    known = [stamp for stamp in stamps if stamp is not None]
    return min(known) if known else None
