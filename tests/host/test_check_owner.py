"""Who owns Matomo's files, and who console runs as, on a real host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from matops.runbook import check
from matops.settings import Settings
from tests.conftest import HostFactory
from tests.host.test_check import CONFIG, table
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


def test_a_root_owned_cache_file(sandbox: Sandbox, host_factory: HostFactory) -> None:
    path = "/var/www/html/tmp/cache/tracker/root_was_here.php"
    sandbox.exec("touch", path)
    try:
        result = table(host_factory())["ownership"]
        assert result.status == "fail"
        assert "tmp/cache/tracker/root_was_here.php (root)" in result.found
        sandbox.exec("sh", "-c", result.todo)  # what it says to do cures it
        assert table(host_factory())["ownership"].status == "ok"
    finally:
        sandbox.exec("rm", "-f", path)


@contextmanager
def owned(sandbox: Sandbox, owner: str) -> Iterator[None]:
    """config.ini.php belongs to somebody else; PHP may still read it. Put back afterwards."""
    mode = sandbox.exec("stat", "-c", "%a", CONFIG).stdout.strip()
    sandbox.exec("sh", "-c", f"chown {owner}:www-data {CONFIG}; chmod 0640 {CONFIG}")
    try:
        yield
    finally:
        sandbox.exec("sh", "-c", f"chown www-data:www-data {CONFIG}; chmod {mode} {CONFIG}")


@pytest.mark.parametrize(("owner", "status"), [("root", "warn"), ("ops", "ok")])
def test_a_configuration_that_is_not_the_web_users(
    sandbox: Sandbox, host_factory: HostFactory, owner: str, status: str
) -> None:
    with owned(sandbox, owner):
        facts = check.collect(host_factory(), Settings())
        results = {r.name: r for r in check.evaluate(facts)}
    assert facts.web_user == "www-data"
    why = facts.probe("site")["web_user_why"]
    assert why == f"apache runs as it; config.ini.php belongs to {owner}"
    assert results["web-user"].status == status, results["web-user"]
    assert f"config.ini.php belongs to {owner}" in results["web-user"].found
    assert results["console"].figures["user"] == "www-data"
    assert results["config-writable"].status == "fail"
    assert "chown" not in results["ownership"].todo or status == "ok"


def test_a_web_user_that_nobody_can_tell(sandbox: Sandbox, host_factory: HostFactory) -> None:
    tmp = "/var/www/html/tmp"
    with owned(sandbox, "root"):
        sandbox.service("apache2", "stop")
        try:
            by_tmp = check.collect(host_factory(), Settings())
            sandbox.exec("chown", "root", tmp)
            nobody = check.collect(host_factory(), Settings())
        finally:
            sandbox.exec("chown", "www-data", tmp)
            sandbox.service("apache2", "start")
    assert by_tmp.web_user == "www-data"
    assert by_tmp.probe("site")["web_user_why"].startswith("the owner of tmp")
    assert nobody.web_user == ""
    results = {r.name: r for r in check.evaluate(nobody)}
    assert results["web-user"].status == "fail"
    assert "belongs to root, and no web server is seen" in results["web-user"].found
    assert results["console"].status == "unknown"
    assert results["ownership"].status == "unknown"
    assert not any("chown" in r.todo for r in results.values())


@pytest.mark.parametrize("name", ["root", "no-such-account"])
def test_a_setting_that_names_no_web_user(host_factory: HostFactory, name: str) -> None:
    results = table(host_factory(), Settings(web_user=name))
    assert results["web-user"].status == "fail"
    assert f"the setting web_user names {name}" in results["web-user"].found
    assert results["console"].status == "unknown"


def test_a_tmp_full_of_sessions_does_not_hide_the_rest(
    sandbox: Sandbox, host_factory: HostFactory
) -> None:
    sessions, stray = "/var/www/html/tmp/sessions/many", "/var/www/html/core/stray.php"
    make = f"mkdir -p {sessions}; cd {sessions}; seq -f s%g 30000 | xargs touch; touch {stray}"
    sandbox.exec("sh", "-c", f"{make}; chown -R www-data {sessions}")
    try:
        table(host_factory())
        result = table(host_factory())["ownership"]
    finally:
        sandbox.exec("rm", "-rf", sessions, stray)
    assert result.status == "warn", result
    assert "core/stray.php (root)" in result.found
    assert "not all of tmp was looked at" in result.found
    assert result.figures["folders"]["tmp"]["looked"] <= 20000
