"""Checks of the PHP that runs console. The target's own demands are checked with its release."""

from __future__ import annotations

import re
from typing import Optional

from matops.runbook.checks.matomo import version_key
from matops.runbook.checks.result import FAIL, OK, WARN, CheckResult, Facts

MINIMUM = "7.2.5"
"""Matomo 4 and 5: core/testMinimumPhpVersion.php."""

REQUIRED = ("zlib", "json", "filter", "hash", "session", "mbstring")
"""Diagnostics/PhpExtensionsCheck.php; mbstring: Matomo 4 and newer."""

_CLI_DEFAULT = 768  # global.ini.php: minimum_memory_limit_when_archiving, megabytes


def program(facts: Facts) -> CheckResult:
    """There is a PHP for the command line, new enough, 64 bit, allowed to start processes."""
    seen = facts.probe("site").get("php") or {"error": "it was not asked"}
    wanted = f"{MINIMUM} or newer, 64 bit"
    if "error" in seen:
        return CheckResult("php", FAIL, str(seen["error"]), wanted,
                           "install php-cli, or set php in config/matops.yaml")  # fmt: skip
    shown = f"{seen['version']} ({seen['program']})"
    figures = {key: seen.get(key) for key in ("version", "program", "sapi", "ini")}
    if version_key(str(seen["version"])) < version_key(MINIMUM):
        return CheckResult("php", FAIL, shown, wanted, "install a newer PHP for the command line",
                           figures)  # fmt: skip
    if seen.get("int_size") == 4:
        return CheckResult("php", FAIL, f"{shown}, 32 bit", wanted, "install a 64 bit PHP", figures)
    # CliMulti starts its archiving children with these (core/CliMulti/Process.php).
    disabled = set(re.split(r"[,\s]+", str(seen.get("disabled") or "")))
    needed = sorted(disabled & {"shell_exec", "exec", "proc_open"})
    if needed:
        return CheckResult("php", WARN, f"{shown}; disabled: {', '.join(needed)}", wanted,
                           f"take them out of disable_functions in {seen.get('ini')}",
                           figures)  # fmt: skip
    return CheckResult("php", OK, shown, wanted, "", figures)


def extensions(facts: Facts) -> CheckResult:
    """The extensions that the installed Matomo needs."""
    seen = facts.probe("site").get("php") or {}
    wanted = f"{', '.join(REQUIRED)}, and pdo_mysql or mysqli"
    if not seen.get("extensions"):
        return CheckResult("php-extensions", FAIL, "PHP did not say", wanted,
                           "see check php")  # fmt: skip
    loaded = {str(name).lower() for name in seen["extensions"]}
    missing = [name for name in REQUIRED if name not in loaded]
    adapter = facts.text("database", "adapter", "PDO\\MYSQL").lower()
    driver = "mysqli" if "mysqli" in adapter else "pdo_mysql"
    if driver not in loaded:
        missing.append(driver)
    queue = facts.preflight.get("queue", {})
    if queue.get("active") and queue["settings"]["backend"] == "redis" and "redis" not in loaded:
        missing.append("redis")
    figures = {"missing": missing, "loaded": sorted(loaded)}
    if missing:
        return CheckResult("php-extensions", FAIL, f"missing: {', '.join(missing)}", wanted,
                           f"install {' '.join(f'php-{_package(m)}' for m in missing)} for the "
                           "command line's PHP", figures)  # fmt: skip
    return CheckResult("php-extensions", OK, f"{len(loaded)} loaded, none missing", wanted, "",
                       figures)  # fmt: skip


def _package(extension: str) -> str:
    return {"pdo_mysql": "mysql", "mysqli": "mysql"}.get(extension, extension)


def memory(facts: Facts) -> CheckResult:
    """Memory for console: Matomo asks for more itself when it archives, and may not get it."""
    seen = facts.probe("site").get("php") or {}
    text = facts.text("General", "minimum_memory_limit_when_archiving", str(_CLI_DEFAULT))
    least = int(text) if text.isdigit() else _CLI_DEFAULT
    wanted = f"{least} MB or more, or no limit"
    limit = megabytes(str(seen.get("memory_limit", "")))
    if limit is None:
        return CheckResult("php-memory", WARN, "PHP did not say", wanted, "see check php")
    shown = "no limit" if limit < 0 else f"{limit:.0f} MB"
    figures = {"memory_limit": seen.get("memory_limit"), "least_mb": least}
    if 0 <= limit < least:
        ini = seen.get("ini") or "the command line's php.ini"
        return CheckResult("php-memory", WARN, shown, wanted, f"memory_limit = {least}M in {ini}",
                           figures)  # fmt: skip
    return CheckResult("php-memory", OK, shown, wanted, "", figures)


def megabytes(text: str) -> Optional[float]:
    """PHP's shorthand (128M, 1G, 134217728) in megabytes; -1 = no limit; None = not a size."""
    found = re.fullmatch(r"\s*(-?\d+)\s*([kmg]?)\s*", text, re.IGNORECASE)
    if not found:
        return None
    if int(found[1]) < 0:
        return -1
    return float(int(found[1]) * {"": 2**-20, "k": 2**-10, "m": 1, "g": 2**10}[found[2].lower()])
