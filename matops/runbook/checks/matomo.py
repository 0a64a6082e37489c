"""Checks of Matomo itself: version, console, ownership, configuration."""

from __future__ import annotations

import re

from matops.runbook.checks.result import FAIL, OK, UNKNOWN, WARN, CheckResult, Facts

_STAGES = {"a": -4, "alpha": -4, "b": -3, "beta": -3, "rc": -2}


def version_key(text: str) -> tuple[int, ...]:
    """Sorts versions as PHP's version_compare does: 5.8.0-b1 < 5.8.0-rc1 < 5.8.0."""
    numbers, _, rest = text.strip().lower().partition("-")
    parts = [int(n) for n in re.findall(r"\d+", numbers)][:4]
    stage = re.match(r"(alpha|beta|rc|a|b)\.?(\d*)", rest)
    tail = [_STAGES[stage[1]], int(stage[2] or 0)] if stage else [0, 0]
    return (*parts, *[0] * (4 - len(parts)), *tail)


def version(facts: Facts) -> CheckResult:
    """The files' version, and that the database is of the same one."""
    found = facts.version
    stored = facts.database.get("version_core")
    if not found:
        return CheckResult(
            "version", UNKNOWN, "core/Version.php cannot be read", "a readable version",
            f"let this account read {facts.docroot}/core/Version.php",
        )  # fmt: skip
    if isinstance(stored, str) and stored != found:
        return CheckResult(
            "version", WARN, f"files {found}, database {stored}", "the same in both",
            "an update was not finished: run core:update (it goes on from where it stopped), "
            "or put the files of the database's version back",
            {"files": found, "database": stored},
        )  # fmt: skip
    shown = f"{found} (files and database)" if isinstance(stored, str) else f"{found} (files)"
    return CheckResult("version", OK, shown, "", "", {"files": found})


def target(facts: Facts) -> CheckResult:
    """The release to go to is newer than what is installed."""
    wanted = facts.target_version
    if not re.match(r"\d", wanted):
        return CheckResult(
            "target-version", UNKNOWN, "no release was named", "a version newer than installed",
            "name it: --release 5.8.0",
        )  # fmt: skip
    figures = {"installed": facts.version, "target": wanted}
    if version_key(wanted) > version_key(facts.version):
        return CheckResult("target-version", OK, f"{wanted}", f"newer than {facts.version}", "",
                           figures)  # fmt: skip
    if version_key(wanted) == version_key(facts.version):
        return CheckResult("target-version", WARN, f"{wanted} is installed already",
                           f"newer than {facts.version}", "name a newer release",
                           figures)  # fmt: skip
    return CheckResult(
        "target-version", FAIL, f"{wanted} is older than what is installed",
        f"newer than {facts.version}", "Matomo cannot go back; name a newer release", figures,
    )  # fmt: skip


def console(facts: Facts) -> CheckResult:
    """console runs as the web user and reaches its database: by its own words, not its code."""
    seen = facts.probe("console")
    wanted = "runs as the web user and reads the database"
    if not seen.get("ran"):
        reason = seen.get("reason") or seen.get("error") or "it was not tried"
        return CheckResult("console", UNKNOWN, str(reason), wanted,
                           "give this account sudo, or log in as the web user")  # fmt: skip
    figures = {key: seen.get(key) for key in ("command", "code", "took", "user")}
    if seen.get("works"):
        return CheckResult("console", OK, f"{seen['command']}: {seen['took']} s", wanted, "",
                           figures)  # fmt: skip
    run = f"sudo -u {seen['user']} php {facts.docroot}/{seen['command']}"
    return CheckResult("console", FAIL, f"exit code {seen['code']}: {seen['says']}", wanted,
                       f"look at what this says: {run}", figures)  # fmt: skip


def web_user(facts: Facts) -> CheckResult:
    """The owner of the files is who PHP runs as for the web."""
    user, wanted = facts.web_user, "one user owns the files and runs PHP; not root"
    if user in ("", "root"):
        return CheckResult(
            "web-user", FAIL, f"config.ini.php belongs to {user or 'nobody known'}", wanted,
            f"chown -R <web user> {facts.docroot}, or set web_user in config/matops.yaml",
        )  # fmt: skip
    running = facts.probe("web").get("running", {})
    workers = sorted({u for users in running.values() for u in users} - {"root"})
    figures = {"web_user": user, "running": running}
    if not workers:
        return CheckResult("web-user", UNKNOWN, f"{user} owns the files; no web server is seen",
                           wanted, "start the web server, or look as root", figures)  # fmt: skip
    if user not in workers:
        return CheckResult(
            "web-user", WARN, f"files belong to {user}, the web server runs as "
            f"{', '.join(workers)}", wanted,
            "check that tmp and config can be written by who runs PHP", figures,
        )  # fmt: skip
    return CheckResult("web-user", OK, f"{user} ({', '.join(sorted(running))})", wanted, "",
                       figures)  # fmt: skip


def ownership(facts: Facts) -> CheckResult:
    """No file belongs to someone else: root-owned cache files stop the web user."""
    seen = facts.probe("site").get("ownership")
    wanted = f"all of {facts.web_user}"
    if not seen or not facts.web_user:
        return CheckResult("ownership", UNKNOWN, "could not be looked at", wanted,
                           "give this account sudo")  # fmt: skip
    looked, wrong = int(seen["looked"]), int(seen["wrong"])
    blind = not facts.privileged and facts.probe("machine").get("user") != facts.web_user
    if not wrong and blind:
        return CheckResult("ownership", UNKNOWN, f"{looked} files are; our login may not see all",
                           wanted, "give this account sudo", dict(seen))  # fmt: skip
    if not wrong:
        note = "" if seen["all"] else f" (the first {looked} looked at)"
        return CheckResult("ownership", OK, f"{looked} files{note}", wanted, "", dict(seen))
    examples = [f"{path} ({owner})" for path, owner in seen["examples"]]
    hurts = [path for path, _ in seen["examples"] if path.startswith(("tmp/", "config/"))]
    return CheckResult(
        "ownership", FAIL if hurts else WARN,
        f"{wrong} of {looked} belong to others: {', '.join(examples[:3])}", wanted,
        # Matomo's own hint prints the owner the wrong way round (matomo.md §3).
        f"chown -R --from={seen['examples'][0][1]} {facts.web_user} {facts.docroot}"
        + ("" if hurts else " (unless the code is kept from the web user on purpose)"),
        dict(seen),
    )  # fmt: skip


def config_writable(facts: Facts) -> CheckResult:
    """config.ini.php can be changed by the web user (Matomo) and by us."""
    rights = facts.preflight.get("rights")
    stat = facts.probe("site").get("config_stat") or {}
    mode = f"{stat.get('owner', '?')} {stat.get('mode', '?')}"
    wanted = "the web user may write it, and its folder"
    path = f"{facts.docroot}/config/config.ini.php"
    if rights is None:
        return CheckResult("config-writable", UNKNOWN, facts.preflight_error or "not asked",
                           wanted, "see the reason; then again")  # fmt: skip
    who = facts.web_user if facts.privileged else "our login"
    no = [name for name in ("config.ini.php", "config", "tmp") if not rights.get(name)]
    if not no:
        return CheckResult("config-writable", OK, f"{mode}; {who} may", wanted, "", dict(rights))
    if not facts.privileged:
        return CheckResult(
            "config-writable", UNKNOWN, f"{mode}; our login may not write {', '.join(no)}",
            wanted, "give this account sudo: maintenance mode and tracking are switched there",
            dict(rights),
        )  # fmt: skip
    return CheckResult(
        "config-writable", FAIL, f"{mode}; {who} may not write {', '.join(no)}", wanted,
        f"chown {facts.web_user} {path}; chmod u+w {path}; is it mounted read-only, or chattr +i?",
        dict(rights),
    )  # fmt: skip


def config_state(facts: Facts) -> CheckResult:
    """Nothing is switched off already, and no second configuration is in play."""
    odd, todo = [], []
    if facts.is_on("General", "maintenance_mode"):
        odd.append("maintenance_mode is on")
        todo.append("is another upgrade under way? Else console config:delete "
                    "General.maintenance_mode")  # fmt: skip
    if not facts.is_on("Tracker", "record_statistics"):
        odd.append("record_statistics is 0: hits are being lost now")
        todo.append("find out who did it; console config:delete Tracker.record_statistics")
    hosts = facts.probe("site").get("host_configs") or []
    if hosts:
        odd.append(f"configurations for single domains: {', '.join(hosts)}")
        todo.append("switch maintenance and tracking in those too: console does not read them")
    many = facts.is_on("General", "multi_server_environment")
    if many and len(facts.settings.servers) < 2:
        odd.append("multi_server_environment is on, but no other server is known")
        todo.append("list the web servers: servers in config/matops.yaml")
    if len(facts.settings.servers) > 1 and not many:
        odd.append(f"{len(facts.settings.servers)} servers, but multi_server_environment is off")
        todo.append("set General.multi_server_environment = 1")
    figures = {"maintenance_mode": facts.is_on("General", "maintenance_mode"),
               "record_statistics": facts.is_on("Tracker", "record_statistics"),
               "host_configs": hosts, "multi_server_environment": many}  # fmt: skip
    wanted = "maintenance off, tracking on, one configuration"
    if odd:
        return CheckResult("config-state", WARN, "; ".join(odd), wanted, "; ".join(todo), figures)
    return CheckResult("config-state", OK, "maintenance off, tracking on", wanted, "", figures)
