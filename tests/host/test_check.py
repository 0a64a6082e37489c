"""The preflight table on a real Matomo host, whole and with one thing broken at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from matops.host.shell import Host, Link, Result
from matops.runbook import check
from matops.runbook.checks.result import CheckResult
from matops.settings import Settings
from tests.conftest import HostFactory
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

CONFIG = "/var/www/html/config/config.ini.php"
VHOST = "/etc/apache2/sites-available/000-default.conf"


class Counting:
    """A link that counts how often the host is asked something."""

    def __init__(self, link: Link) -> None:
        self.link, self.calls = link, 0
        self.name, self.is_local = link.name, link.is_local

    def execute(self, command: str, stdin: Any, *limits: Any, **more: Any) -> Result:
        self.calls += 1
        return self.link.execute(command, stdin, *limits, **more)

    def close(self) -> None:
        self.link.close()


def table(host: Host, settings: Settings | None = None, **asked: Any) -> dict[str, CheckResult]:
    facts = check.collect(host, settings or Settings(), **asked)
    return {result.name: result for result in check.evaluate(facts)}


@contextmanager
def changed(sandbox: Sandbox, path: str, old: str, new: str) -> Iterator[None]:
    """A file of the host with one text replaced, Apache reloaded; put back afterwards."""
    before = sandbox.exec("cat", path).stdout
    assert old in before
    try:
        _put(sandbox, path, before.replace(old, new))
        yield
    finally:
        _put(sandbox, path, before)


def _put(sandbox: Sandbox, path: str, text: str) -> None:
    sandbox.exec("sh", "-c", f"cat > {path}", input=text.encode())
    if path.startswith("/etc/apache2"):
        sandbox.exec("apache2ctl", "graceful")
        sandbox.exec("sleep", "1")


def every_count(sandbox: Sandbox) -> list[list[str]]:
    tables = sandbox.sql("SELECT table_name FROM information_schema.tables "
                         "WHERE table_schema = 'matomo' ORDER BY 1")  # fmt: skip
    parts = [f"SELECT '{name}', COUNT(*) FROM matomo.{name}" for (name,) in tables]
    return sandbox.sql(" UNION ALL ".join(parts))


def test_a_healthy_host_has_no_failure(sandbox: Sandbox, host_factory: HostFactory) -> None:
    host = host_factory()
    table(host)  # the agent is there now
    host.link = Counting(host.link)
    before = every_count(sandbox)
    facts = check.collect(host, Settings(), target_version=sandbox.release_version, window=60)
    assert every_count(sandbox) == before, "the marker, or console, was recorded"
    assert host.link.calls == 2, "one look at the host, one call of the agent"
    results = {r.name: r for r in check.evaluate(facts)}
    assert not check.failures(list(results.values()))
    for name in ("version", "target-version", "console", "web-user", "ownership", "grants",
                 "config-writable", "access-log", "archivers", "clock", "redis-eviction",
                 "disk-docroot", "disk-database", "disk-tmpdir", "inodes", "php"):  # fmt: skip
        assert results[name].status == "ok", results[name]
    for result in results.values():
        assert (result.status == "ok") == (result.todo == ""), result
    assert results["access-log"].figures["verdict"] == "real"
    assert results["access-log"].figures["status"] == 204
    assert "/etc/cron.d/matomo as www-data" in results["archivers"].found
    secret = next(line for line in sandbox.exec("cat", CONFIG).stdout.splitlines()
                  if line.startswith("password")).split('"')[1]  # fmt: skip
    assert secret not in repr(facts)


def test_database_down(sandbox: Sandbox, host_factory: HostFactory) -> None:
    sandbox.service("mariadb", "stop")
    try:
        results = table(host_factory())
    finally:
        sandbox.service("mariadb", "start")
    assert results["console"].status == "fail"
    assert "SQLSTATE[HY000] [2002]" in results["console"].found
    assert results["database"].status == "fail"
    assert "cannot be reached" in results["database"].found
    for name in ("grants", "buffer-pool", "archiving", "disk-database"):
        assert results[name].status == "unknown", results[name]
    assert results["access-log"].status == "ok"
    assert results["php"].status == "ok"
    assert all("\n" not in r.found for r in results.values())


def test_redis_down(sandbox: Sandbox, host_factory: HostFactory) -> None:
    sandbox.service("redis", "stop")
    try:
        results = table(host_factory())
    finally:
        sandbox.service("redis", "start")
    assert results["redis"].status == "warn"  # the queue is not in use here
    assert "127.0.0.1:6379 cannot be reached" in results["redis"].found


def test_redis_that_throws_away_and_forgets(sandbox: Sandbox, host_factory: HostFactory) -> None:
    def redis(*words: str) -> None:
        sandbox.exec("redis-cli", "CONFIG", "SET", *words)

    try:
        redis("maxmemory", "64mb")
        redis("maxmemory-policy", "allkeys-lru")
        redis("save", "")
        results = table(host_factory())
    finally:
        redis("maxmemory", "0")
        redis("maxmemory-policy", "noeviction")
        redis("save", "3600 1 300 100 60 10000")
    assert results["redis-eviction"].status == "warn"
    assert results["redis-persistence"].status == "warn"
    assert results["redis-room"].status == "warn"


def test_without_sudo_it_says_what_it_cannot_see(
    sandbox: Sandbox, host_factory: HostFactory
) -> None:
    mode = sandbox.exec("stat", "-c", "%a", CONFIG).stdout.strip()
    sandbox.exec("chmod", "0644", CONFIG)
    try:
        results = table(host_factory("nosudo"))
    finally:
        sandbox.exec("chmod", mode, CONFIG)
    for name in ("console", "access-log", "log-retention", "archivers", "config-writable",
                 "ownership"):  # fmt: skip
        assert results[name].status == "unknown", results[name]
        assert results[name].todo
    for name in ("version", "database", "grants", "php", "disk-database", "web-user"):
        assert results[name].status == "ok", results[name]


def test_a_missing_right_comes_with_the_grant_to_paste(
    sandbox: Sandbox, host_factory: HostFactory
) -> None:
    accounts = [f"'{user}'@'{host}'" for user, host in sandbox.sql(
        "SELECT user, host FROM mysql.user WHERE user = 'matomo'")]  # fmt: skip
    for account in accounts:
        sandbox.sql(f"REVOKE ALTER, LOCK TABLES ON matomo.* FROM {account}")
    try:
        result = table(host_factory())["grants"]
        assert result.status == "fail"
        assert result.todo.startswith("GRANT ALTER, LOCK TABLES ON `matomo`.* TO 'matomo'@'")
        sandbox.sql(result.todo)
        assert table(host_factory())["grants"].status == "ok"
    finally:
        for account in accounts:
            sandbox.sql(f"GRANT ALTER, LOCK TABLES ON matomo.* TO {account}")


def test_a_log_without_query_strings(sandbox: Sandbox, host_factory: HostFactory) -> None:
    with changed(sandbox, VHOST, "access.log combined", r'access.log "%h %l %u %t \"%m %U\" %>s"'):
        result = table(host_factory())["access-log"]
    assert result.status == "warn"
    assert "replay from logs is not available" in result.found
    assert "no query string" in result.found


def test_a_log_that_is_switched_off(sandbox: Sandbox, host_factory: HostFactory) -> None:
    with changed(sandbox, VHOST, "access.log combined", "access.log combined env=wanted"):
        result = table(host_factory())["access-log"]
    assert result.status == "warn"
    assert "by a condition" in result.found


def test_behind_a_proxy(sandbox: Sandbox, host_factory: HostFactory) -> None:
    """A proxy on port 8080 that talks to Matomo over loopback, and does not log itself."""
    proxy = (
        "Listen 8080\n<VirtualHost *:8080>\n CustomLog /dev/null combined\n"
        " ProxyPass / http://127.0.0.1:80/\n</VirtualHost>\n<VirtualHost *:80>"
    )
    settings = Settings(url=f"http://{sandbox.address}:8080/")
    sandbox.exec("a2enmod", "-q", "proxy", "proxy_http", "remoteip")
    try:
        with changed(sandbox, VHOST, "<VirtualHost *:80>", proxy):
            result = table(host_factory(), settings)["access-log"]
            assert result.status == "warn"
            assert "127.0.0.1 is logged" in result.found
            assert "mod_remoteip" in result.todo
        # The cure that it names: Apache takes the address from the header, and logs it by %a.
        cured = proxy + "\n RemoteIPHeader X-Forwarded-For\n RemoteIPInternalProxy 127.0.0.1\n"
        with changed(sandbox, VHOST, "<VirtualHost *:80>", cured):
            assert table(host_factory(), settings)["access-log"].status == "ok"
    finally:
        sandbox.exec("a2dismod", "-q", "-f", "proxy_http", "proxy", "remoteip", check=False)
        sandbox.exec("apache2ctl", "graceful")


def test_what_archives_by_itself(sandbox: Sandbox, host_factory: HostFactory) -> None:
    script = "/usr/local/bin/nightly-reports"
    crontab = (
        f"0 2 * * * {script}\n"
        "*/5 * * * * php /var/www/html/console queuedtracking:process --token-auth=hush123\n"
    )
    sandbox.exec("sh", "-c", f"printf '#!/bin/sh\nphp $1/console core:archive\n' > {script}")
    sandbox.exec("crontab", "-u", "www-data", "-", input=crontab.encode())
    run = "setsid -f php -r 'sleep(30);' -- /var/www/html/console core:archive >/dev/null 2>&1"
    sandbox.exec("sh", "-c", run, user="www-data")
    try:
        result = table(host_factory())["archivers"]
    finally:
        sandbox.exec("crontab", "-u", "www-data", "-r")
        sandbox.exec("rm", script)
        sandbox.exec("pkill", "-f", "sleep.30", check=False)
    assert result.status == "warn"
    assert "running archive: pid" in result.found
    assert "queue: crontab of www-data" in result.found
    scripted = [e for e in result.figures["entries"] if e.get("script")]
    assert scripted[0]["line"].endswith(script)
    assert "hush123" not in repr(result)


def test_logs_kept_for_too_short_a_time(sandbox: Sandbox, host_factory: HostFactory) -> None:
    with changed(sandbox, "/etc/logrotate.d/apache2", "rotate 14", "rotate 1"):
        result = table(host_factory(), window=3 * 86400)["log-retention"]
    assert result.status == "fail"
    assert result.figures["configured"] == 86400
    assert "daily, rotate 1" in result.found
