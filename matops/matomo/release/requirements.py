"""What the target release wants of this host and of the plugins here. Pure functions.

``target`` is what was read from the staged tree when it was unpacked (``tree.describe``):
``{"version", "php", "extensions", "recommended", "functions", "plugins": [names],
"retired": [names], "added": {name: {"version", "require"}}}``; ``retired``: the plugins that the
release installed now brought. ``facts`` are those of ``probes/site.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matops.matomo import ini
from matops.matomo.release import ranges, versions

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"

_MATOMO = ("matomo", "piwik")
_DRIVERS = {"PDO\\MYSQL": "pdo_mysql", "PDO_MYSQL": "pdo_mysql", "MYSQLI": "mysqli"}


@dataclass(frozen=True)
class Finding:
    """One requirement: what was found, what is wanted, what to do. ``status``: see above."""

    name: str
    status: str
    found: str
    wanted: str
    todo: str = ""


def requirements(facts: dict[str, Any], target: dict[str, Any]) -> list[Finding]:
    """All requirements of the target, those that hold included."""
    return [*_php(facts, target), *_plugins(facts, target)]


def failed(findings: list[Finding]) -> list[Finding]:
    """Those that stand in the way of the upgrade."""
    return [finding for finding in findings if finding.status == FAIL]


def _php(facts: dict[str, Any], target: dict[str, Any]) -> Iterator[Finding]:
    php = facts.get("php") or {}
    wanted = f">= {target['php']} for Matomo {target['version']}"
    if php.get("error") or not php.get("version"):
        why = str(php.get("error") or "PHP did not say its version")
        yield Finding("PHP version", UNKNOWN, why, wanted, "set php in config/matops.yaml")
        return
    found = str(php["version"])
    enough = versions.key(found) >= versions.key(target["php"])
    todo = "" if enough else f"install PHP {target['php']} or newer before the upgrade"
    yield Finding("PHP version", OK if enough else FAIL, found, wanted, todo)
    yield _extensions("PHP extensions", FAIL, [*target["extensions"], _driver(facts)], php)
    if target.get("recommended"):
        yield _extensions("PHP extensions, recommended", WARN, target["recommended"], php)
    yield _functions(target.get("functions") or [], php)


def _driver(facts: dict[str, Any]) -> str:
    layers = (ini.parse(facts.get(name) or "") for name in ("global", "common", "config"))
    adapter = ini.text_of(ini.merge(*layers), "database", "adapter", "PDO\\MYSQL")
    return _DRIVERS.get(adapter.replace("\\\\", "\\").upper(), "pdo_mysql")


def _extensions(name: str, status: str, wanted: list[str], php: dict[str, Any]) -> Finding:
    loaded = {str(each).lower() for each in php.get("extensions") or []}
    missing = sorted(each for each in set(wanted) if each.lower() not in loaded)
    asked = " ".join(sorted(set(wanted)))
    if not missing:
        return Finding(name, OK, "all loaded", asked)
    todo = f"install the PHP extension {', '.join(missing)}, for the web server's PHP too"
    return Finding(name, status, f"missing: {' '.join(missing)}", asked, todo)


def _functions(wanted: list[str], php: dict[str, Any]) -> Finding:
    off = {word.strip().lower() for word in str(php.get("disabled") or "").split(",")}
    missing = sorted(off & set(wanted))
    if not missing:
        return Finding("PHP functions", OK, "none disabled", " ".join(wanted))
    todo = f"take {', '.join(missing)} out of disable_functions in {php.get('ini') or 'php.ini'}"
    found = f"disabled: {' '.join(missing)}"
    return Finding("PHP functions", FAIL, found, " ".join(wanted), todo)


def _plugins(facts: dict[str, Any], target: dict[str, Any]) -> Iterator[Finding]:
    added = target.get("added") or {}
    # What the old release brought is replaced or retired by the new one: not an operator's matter.
    before = {*_listed(facts.get("global")), *(target.get("retired") or [])}
    bundled = {*target["plugins"], *before} - set(added)
    active = set(_listed(facts.get("config")))
    for name in sorted({*(facts.get("plugins") or {}), *added} - bundled):
        plugin = added.get(name) or facts["plugins"][name]
        yield _plugin(name, plugin, target, facts, name in active, name in added)


def _listed(text: object) -> list[str]:
    return ini.list_of(ini.parse(str(text or "")), "Plugins", "Plugins")


def _plugin(
    name: str,
    plugin: dict[str, Any],
    target: dict[str, Any],
    facts: dict[str, Any],
    active: bool,
    staged: bool,
) -> Finding:
    label = f"plugin {name}"
    found = f"{plugin.get('version') or 'no version'}{' (staged)' if staged else ''}"
    require = plugin.get("require")
    require = require if isinstance(require, dict) else {}
    asks = {str(each).lower(): str(text) for each, text in require.items()}
    matomo = next((asks[each] for each in _MATOMO if each in asks), "")
    if not matomo:
        todo = "its plugin.json does not say what it works with: ask its author"
        return Finding(label, WARN, found, f"Matomo {target['version']}", todo)
    tests = [("Matomo", ranges.bounded(matomo), str(target["version"]))]
    php = str((facts.get("php") or {}).get("version") or "")
    if "php" in asks and php:
        tests.append(("PHP", asks["php"], php))
    wanted = ", ".join(f"{what} {asked}" for what, asked, _ in tests)
    try:
        broken = [what for what, asked, got in tests if not ranges.satisfied(asked, got)]
    except ValueError as error:
        return Finding(label, WARN, found, wanted, f"not understood ({error}): look yourself")
    if not broken:
        return Finding(label, OK, found, wanted)
    state = "active" if active else "not active"
    todo = "stage a version that fits with --plugins" + (", or deactivate it" if active else "")
    return Finding(label, FAIL if active or staged else WARN, f"{found}, {state}", wanted, todo)
