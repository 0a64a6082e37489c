"""The target's wishes against a host's facts."""

from __future__ import annotations

from typing import Any

from matops.matomo.release.requirements import FAIL, OK, UNKNOWN, WARN, Finding, requirements

TARGET: dict[str, Any] = {
    "version": "5.8.0",
    "php": "7.2.5",
    "extensions": ["zlib", "json"],
    "recommended": [],
    "functions": ["pack"],
    "plugins": ["CoreHome"],
    "added": {},
}
FITS = {"matomo": ">=5.0.0-b1,<6.0.0-b1"}
OLD = {"piwik": ">=4.0.0-b1,<5.0.0-b1"}


def facts(**more: Any) -> dict[str, Any]:
    php = {
        "version": "8.2.7",
        "extensions": ["zlib", "json", "pdo_mysql", "Core"],
        "disabled": "",
        **more.pop("php", {}),
    }
    return {"php": php, "plugins": {}, "global": "", "config": "", **more}


def statuses(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.status for finding in found}


def test_a_host_that_fits() -> None:
    assert set(statuses(requirements(facts(), TARGET)).values()) == {OK}


def test_php_too_old_extension_missing_function_disabled() -> None:
    php = {"version": "7.1.33", "extensions": ["json", "zlib"], "disabled": "exec, pack"}
    found = requirements(facts(php=php), TARGET)
    assert statuses(found) == {"PHP version": FAIL, "PHP extensions": FAIL, "PHP functions": FAIL}
    assert found[1].found == "missing: pdo_mysql"


def test_the_driver_is_the_one_that_the_configuration_names() -> None:
    config = '[database]\nadapter = "MYSQLI"\n'
    found = requirements(facts(config=config), TARGET)
    assert statuses(found)["PHP extensions"] == FAIL
    assert found[1].found == "missing: mysqli"


def test_no_php_is_unknown_not_failed() -> None:
    found = requirements({"php": {"error": "no php on the PATH"}}, TARGET)
    assert [finding.status for finding in found] == [UNKNOWN]


def test_plugins_of_the_releases_are_not_reported() -> None:
    plugins = {"CoreHome": {"version": "", "require": {}}, "Gone": {"version": "1", "require": OLD}}
    plugins["Sample"] = {"version": "1", "require": {}}
    glob = "[Plugins]\nPlugins[] = CoreHome\nPlugins[] = Gone\n"
    target = {**TARGET, "retired": ["Sample"]}
    found = requirements(facts(plugins=plugins, **{"global": glob}), target)
    assert not [finding for finding in found if finding.name.startswith("plugin")]


def test_plugins_of_the_operator() -> None:
    plugins = {
        "Fits": {"version": "1", "require": FITS},
        "Old": {"version": "2", "require": OLD},
        "OldActive": {"version": "3", "require": OLD},
        "Silent": {"version": "4", "require": []},
        "Odd": {"version": "5", "require": {"matomo": ">=five,<six"}},
        "NeedsPhp": {"version": "6", "require": {**FITS, "php": ">=8.3"}},
    }
    config = "[Plugins]\nPlugins[] = OldActive\nPlugins[] = NeedsPhp\n"
    found = requirements(facts(plugins=plugins, config=config), TARGET)
    assert {k: v for k, v in statuses(found).items() if k.startswith("plugin")} == {
        "plugin Fits": OK,
        "plugin Old": WARN,
        "plugin OldActive": FAIL,
        "plugin Silent": WARN,
        "plugin Odd": WARN,
        "plugin NeedsPhp": FAIL,
    }


def test_a_staged_update_counts_instead_of_what_is_installed() -> None:
    plugins = {"Mine": {"version": "1", "require": OLD}}
    target = {**TARGET, "plugins": ["CoreHome", "Mine"]}
    target["added"] = {"Mine": {"version": "2", "require": FITS}}
    found = requirements(facts(plugins=plugins), target)
    assert (found[-1].name, found[-1].status) == ("plugin Mine", OK)
    assert found[-1].found == "2 (staged)"
