"""What is asked of a stage once it is there: does PHP run it, does this host fit it?"""

from __future__ import annotations

import shlex
from typing import Any

from matops.errors import MatopsError
from matops.matomo.release.requirements import FAIL, OK, requirements
from matops.matomo.release.stages import PACKAGE, Staged
from matops.matomo.site import Site
from matops.runbook.step import Say


def runs(site: Site, staged: dict[str, Any]) -> None:
    """Lets PHP run the staged console as the web user. MatopsError where it cannot."""
    # Without a configuration this only reads core/Version.php, but through all of the
    # autoloader: a tree that PHP cannot run fails here.
    tree = f"{staged['path']}/matomo"
    result = site.host.run(
        f'cd -- "$1" && exec {shlex.quote(site.php)} "$1/console" core:version',
        tree, user=site.worker, check=False, what="run the staged console",
    )  # fmt: skip
    if staged["version"] not in result.text.split():
        raise MatopsError(
            f"PHP cannot run the staged release: {result.complaint}",
            host=site.host.name,
            state=f"The stage is there, unused: {staged['path']}",
            next="see whether this host's PHP fits Matomo " + staged["version"],
        )


def served_now(site: Site, staged: dict[str, Any], where: dict[str, Any], say: Say) -> str:
    """A URL that gives out a stage which was proven once; '' where none does.

    ``where``: docroot, root, folder, web_user, web. One round trip. Says so where no web server
    answers now: then the earlier proof stands.
    """
    found = site.agent.call(
        f"{PACKAGE}.protect:again", {"path": staged["path"], **where},
        user=site.keeper, timeout=900,
    )  # fmt: skip
    if not found["answered"] and not found["served"]:
        say("note: no web server answers now; that the stage is not served was proven before")
    return str(found["served"][0]) if found["served"] else ""


def unmet(site: Site, staged: Staged, say: Say) -> list[str]:
    """Says each requirement that this host does not fulfil; the names of those that fail."""
    findings = requirements(site.facts, staged.target)
    for each in findings:
        if each.status != OK:
            say(f"{each.status}: {each.name}: {each.found}, wants {each.wanted}. {each.todo}")
    return [each.name for each in findings if each.status == FAIL]
