"""One look at what an installation needs to know. Runs on the host, changes nothing.

(But for a pair of empty folders beside the docroot, a moment long: whether two folders can change
places is known only by trying.)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from matops.matomo.install import ahead, busy, place, switch
from matops.matomo.install.build import Work
from matops.matomo.install.catch import shown
from matops.matomo.install.place import Place
from matops.matomo.release import tree


def survey(
    *, docroot: str, root: str, stage: str, how: str, installed: str, downloads: str,
    accept_unlisted: bool,
) -> dict[str, Any]:  # fmt: skip
    """``{state, folder, how, obstacle, busy, link, facts}`` for the release staged in ``stage``.

    ``busy``: see there; ``link``: what the docroot leads to, where that link will be switched.
    ``state``: see ``place``, '' where nothing was built; ``facts``: install.json, or as much of it
    as a build would find. ``how`` '' becomes the one that can be. Refused: see ``Work.know``.
    """
    ahead.ours_to_change(docroot)
    manifest = tree.read_manifest(Path(stage))
    obstacle = "" if how == "copy" else switch.obstacle(docroot, root)
    chosen = how or ("copy" if obstacle else "exchange")
    found = place.current(root, docroot, manifest["version"], manifest["sha256"])
    state = found.state(docroot) if found else ""
    answer: dict[str, Any] = {"state": state, "how": chosen, "obstacle": obstacle, "folder": ""}
    real = os.path.realpath(docroot)
    answer["busy"] = busy.within(docroot, real)
    answer["link"] = real if chosen == "exchange" and switch.links(docroot) else ""
    if found and (state in (place.HALF, place.DONE) or place.ready(found, docroot, chosen, stage)):
        facts = found.facts()
        return {**answer, "folder": str(found.folder), "how": facts["how"], "facts": shown(facts)}
    work = Work(docroot, root, Path(stage), manifest, chosen)
    work.know(Path(downloads), installed, accept_unlisted)
    work.demand(work.target())
    division = vars(work.division)
    facts = {**division, "carried": len(division["carried"]), "known_from": work.known_from}
    return {**answer, "state": "", "facts": shown(facts)}


def state(*, docroot: str, folder: str) -> dict[str, Any]:
    """``{state, facts}`` of one folder that is known by name; see ``place``."""
    found = Place(folder)
    return {"state": found.state(docroot), "facts": shown(found.facts())}
