"""What ``release.build``, ``release.install`` and ``release.back`` ask of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from matops.errors import MatopsError, OutcomeUnknown, Refused, UsageError
from matops.matomo import ini
from matops.matomo.release import stages
from matops.matomo.release.requirements import FAIL, requirements
from matops.matomo.release.stages import Staged
from matops.matomo.release.versions import key
from matops.matomo.site import Site
from matops.runbook.outage import Outage

PACKAGE = "matops.matomo.install"
KEY = "install"
"""In the outage's record: ``{how, folder, docroot, from, to}``, written before the first change."""
_LONG = 3600  # seconds for a call that copies or renames a tree


Confirm = Callable[[str, str], bool]


def confirmed(question: str, word: str) -> bool:
    """For a caller that has asked already."""
    return True


def unconfirmed(site: Site, what: str, word: str) -> Refused:
    """Nobody said yes."""
    return Refused(
        f"{what} was not confirmed",
        host=site.host.name,
        state="The docroot was not changed",
        next=f"add --yes, or type {word} when asked",
    )


def ask(site: Site, function: str, **payload: Any) -> Any:
    """Calls ``matops.matomo.install.<module>:<function>(docroot, …)`` as the keeper."""
    return site.agent.call(
        f"{PACKAGE}.{function}",
        {"docroot": site.docroot, **payload},
        user=site.keeper,
        timeout=_LONG,
    )


def web_of(site: Site) -> dict[str, Any]:
    """The public URL, and the names that this Matomo answers to."""
    hosts = ini.list_of(site.config, "General", "trusted_hosts")
    return {"url": site.settings.url, "hosts": hosts}


def choose(site: Site, version: str) -> Optional[Staged]:
    """The stage to install: ``version``, or the newest that is ready and newer than what is
    installed; None where what is installed is the newest that is staged.

    UsageError where ``version`` is not staged, Refused where nothing fitting is."""
    found = [each for each in stages.staged(site) if each.ready]
    if version:
        fitting = [each for each in found if each.version == version]
        if not fitting:
            there = ", ".join(each.version for each in found) or "none"
            raise UsageError(
                f"Matomo {version} is not staged (staged: {there})",
                host=site.host.name,
                next=f"release.stage --release {version}",
            )
        return fitting[-1]
    newer = [each for each in found if key(each.version) > key(site.version)]
    if not newer and all(each.version != site.version for each in found):
        raise Refused(
            f"no release newer than the installed {site.version} is staged",
            host=site.host.name,
            state="Nothing was changed",
            next="release.stage; or core.update, where the new files were put there by hand",
        )
    return max(newer, key=lambda each: (key(each.version), each.when)) if newer else None


def demand_fit(site: Site, staged: Staged, accepted: Sequence[str]) -> list[str]:
    """Refused where this host or an active plugin does not fit the release, unless the plugin is
    ``accepted``; a line for each that is."""
    failing = [each for each in requirements(site.facts, staged.target) if each.status == FAIL]
    names = {each.name for each in failing}
    for name in accepted:
        if f"plugin {name}" not in names:
            raise UsageError(
                f"--accept-plugins: {name} needs no accepting",
                host=site.host.name,
                next="name those that do: " + (", ".join(sorted(names)) or "there are none"),
            )
    open_ = [each for each in failing if each.name not in {f"plugin {name}" for name in accepted}]
    if open_:
        what = "; ".join(f"{each.name} {each.found}, wants {each.wanted}" for each in open_)
        plugins = [each.name[7:] for each in open_ if each.name.startswith("plugin ")]
        accept = f", or accept it: --accept-plugins {','.join(plugins)}" if plugins else ""
        raise Refused(
            f"Matomo {staged.version} does not fit: {what}",
            host=site.host.name,
            state="Nothing was changed",
            next=f"{open_[0].todo}{accept if len(plugins) == len(open_) else ''}",
        )
    return [f"{each.name} does not fit {staged.version} and is accepted" for each in failing]


def prove(site: Site, folder: str, version: str, *, linked: bool, may_reload: bool) -> str:
    """Has the web servers run ``version``; what they answered, as a line.

    MatopsError where one goes on with another version; OutcomeUnknown where none answers
    although one runs here.
    """
    found = ask(
        site, "serve:prove", folder=folder, web_user=site.web_user, web=web_of(site),
        version=version, linked=linked, may_reload=may_reload,
    )  # fmt: skip
    if found["wrong"]:
        where, why = next(iter(found["wrong"].items()))
        raise MatopsError(
            f"{where}: {why}, although {version} is in the docroot",
            host=site.host.name,
            state=f"The files of {version} are in place",
            next="reload PHP there (systemctl reload apache2, php-fpm), then run this again",
        )
    answers = [f"{url} ({each['sapi']})" for url, each in found["php"].items()]
    files = [f"{url} (its static files)" for url in found["files"]]
    if not answers and not files:
        if found["running"]:
            raise OutcomeUnknown(
                f"no web server answers here: that {version} is served is not proven",
                host=site.host.name,
                state=f"The files of {version} are in place",
                next="look at the web server, then run this again",
            )
        return "no web server runs here"
    done = f"; {', '.join(found['actions'])}" if found["actions"] else ""
    return f"{version} runs at {', '.join([*answers, *files])}{done}"


def unexpected(site: Site) -> str:
    """What Matomo's own ``diagnostics:unexpected-files`` says, as a line; '' if it finds none.

    It must run in the docroot: it resolves names against the current folder (facts, 3).
    """
    result = site.host.run(
        'cd -- "$1" && exec "$2" "$1/console" diagnostics:unexpected-files',
        site.docroot, site.php, user=site.worker, check=False, timeout=300,
        what="diagnostics:unexpected-files",
    )  # fmt: skip
    lines = [line for line in result.text.splitlines() if line.startswith("/")]
    if result.code:
        return f"diagnostics:unexpected-files did not run: {result.complaint}"
    if not lines:
        return ""
    return f"Matomo calls {len(lines)} files unexpected (not of a release), first {lines[0]}"


def way_back(site: Site) -> str:
    """The folder that holds the old release while an outage is open; ''. Not to be removed."""
    record = Outage(site).found(KEY) or {}
    return str(record.get("folder", ""))


def spare(site: Site, *, remove: bool) -> list[str]:
    """Built trees that nothing needs (see ``place.spare``), but for one of an open outage."""
    if way_back(site):
        return []
    found = ask(
        site, "place:spare", root=stages.root_of(site), downloads=stages.downloads_of(site),
        remove=remove,
    )  # fmt: skip
    return [str(each) for each in found]
