"""What ``release.build`` and ``release.install`` say of the files before anything is changed."""

from __future__ import annotations

from typing import Any

COPY = "copy"
_NAMED = 10  # files of a list that are named
_LISTS = (
    ("modified", "changed by hand, not carried over (the way back has them)"),
    ("replaced", "yours, but the release brings its own of that name"),
    ("strange", "in the release's own folders, but not of it: carried over as they are"),
    ("left", "of a plugin that the stage brings itself, or that is no more: left behind"),
    ("odd", "neither file nor link: left behind"),
)


def notes_of(found: dict[str, Any]) -> list[str]:
    """Lines for the plan, of what ``survey`` found. Pure."""
    facts = found["facts"]
    notes = [f"which files are the old release's: {facts['known_from']}"]
    if found["obstacle"] and found["how"] == COPY:
        notes.append(f"an exchange is not possible ({found['obstacle']}): the files are copied")
    for key, what in _LISTS:
        if names := facts.get(key):
            count = facts[f"{key}_count"]
            more = f" and {count - _NAMED} more" if count > _NAMED else ""
            notes.append(f"{count} {what}: {', '.join(names[:_NAMED])}{more}")
    if found.get("link"):
        notes.append(
            f"the docroot is a link to {found['link']}: it will lead to a folder beside that; what "
            "names the folder itself (cron, backups) must be told"
        )
    if found.get("busy"):
        names = ", ".join(found["busy"][:_NAMED])
        notes.append(f"at work in the docroot, and will go on with the old code: {names}")
    return notes + list(facts.get("said", []))
