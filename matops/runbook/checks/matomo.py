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
        found = f"{wanted}: its version is not known before it is staged" if wanted else (
            "nothing is staged")  # fmt: skip
        return CheckResult("target-version", UNKNOWN, found, "a version newer than installed",
                           "release.stage --release VERSION")  # fmt: skip
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
    """Who PHP runs as for the web is known, is not root, and owns config.ini.php."""
    user, wanted = facts.web_user, "one user owns config.ini.php and runs PHP; not root"
    site = facts.probe("site")
    if user in ("", "root"):
        return CheckResult(
            "web-user", FAIL, str(site.get("web_user_why") or "it cannot be told"), wanted,
            "set web_user in config/matops.yaml to the user that PHP runs as for the web: "
            "console and jobs are never run as root",
        )  # fmt: skip
    running = facts.probe("web").get("running", {})
    workers = sorted({u for users in running.values() for u in users} - {"root"})
    owner = str((site.get("config_stat") or {}).get("owner", ""))
    figures = {"web_user": user, "why": site.get("web_user_why"), "owner": owner,
               "running": running}  # fmt: skip
    if not workers:
        return CheckResult("web-user", UNKNOWN, f"{user}; no web server is seen",
                           wanted, "start the web server, or look as root", figures)  # fmt: skip
    if user not in workers:
        return CheckResult(
            "web-user", WARN, f"{user} ({site.get('web_user_why')}), the web server runs as "
            f"{', '.join(workers)}", wanted,
            "check who runs PHP, and set web_user to it in config/matops.yaml", figures,
        )  # fmt: skip
    if owner == "root":
        return CheckResult(
            "web-user", WARN, f"config.ini.php belongs to root, PHP runs as {user}", wanted,
            f"unless that is on purpose: chown {user} {facts.docroot}/config/config.ini.php",
            figures,
        )  # fmt: skip
    other = f"; config.ini.php belongs to {owner}" if owner not in ("", user) else ""
    return CheckResult("web-user", OK, f"{user} ({', '.join(sorted(running))}){other}", wanted, "",
                       figures)  # fmt: skip


def ownership(facts: Facts) -> CheckResult:
    """The web user owns or may write its files: root-owned cache files stop it."""
    seen = facts.probe("ownership")
    wanted = f"all of {facts.web_user or 'the web user'}, or writable by it"
    folders = seen.get("folders")
    if not folders:
        reason = seen.get("reason") or seen.get("error") or "could not be looked at"
        return CheckResult("ownership", UNKNOWN, str(reason), wanted,
                           "see check web-user; then again")  # fmt: skip
    figures = {"folders": folders}
    looked, wrong, denied = (
        sum(int(folder[key]) for folder in folders.values())
        for key in ("looked", "wrong", "denied")
    )
    partly = [top for top, folder in folders.items() if not folder["all"]]
    note = f"; not all of {', '.join(partly)} was looked at" if partly else ""
    if wrong:
        found = f"{wrong} of the first {looked}" if partly else f"{wrong} of {looked}"
        return _not_its_own(facts, f"{found} belong to others", note, wanted)
    if denied:
        todo = "look as the web user: a network file system?" if facts.privileged else (
            "give this account sudo")  # fmt: skip
        return CheckResult("ownership", UNKNOWN, f"{looked} files are; {denied} folders could not "
                           f"be entered{note}", wanted, todo, figures)  # fmt: skip
    if partly:
        return CheckResult("ownership", UNKNOWN, f"the first {looked} looked at are{note}", wanted,
                           f"to see the rest: find {facts.docroot} ! -user {facts.web_user}",
                           figures)  # fmt: skip
    return CheckResult("ownership", OK, f"{looked} files", wanted, "", figures)


def _not_its_own(facts: Facts, found: str, note: str, wanted: str) -> CheckResult:
    folders = facts.probe("ownership")["folders"]
    # tmp first: what is wrong there hurts now. config.ini.php has its own check, config-writable.
    order = sorted(folders, key=lambda top: top != "tmp")
    examples = [example for top in order for example in folders[top]["examples"]]
    hurts = int(folders.get("tmp", {}).get("wrong", 0)) > 0
    purpose = "" if hurts else " (unless the code is kept from the web user on purpose)"
    # Matomo's own hint prints the owner the wrong way round (matomo.md §3).
    todo = f"chown -R --from={examples[0][1]} {facts.web_user} {facts.docroot}{purpose}"
    if web_user(facts).status != OK:
        todo = f"settle check web-user first; then look at who owns these{purpose}"
    shown = ", ".join(f"{path} ({owner})" for path, owner in examples[:3])
    return CheckResult("ownership", FAIL if hurts else WARN, f"{found}: {shown}{note}", wanted,
                       todo, {"folders": folders})  # fmt: skip


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
    if facts.privileged and not facts.web_user:
        return CheckResult("config-writable", UNKNOWN, "the web user is not known", wanted,
                           "see check web-user; then again")  # fmt: skip
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
