"""Runs on the host, as root: ``python3 install_killed.py AGENT TEMPLATE STAGE HOW``.

Goes forth and back on a small tree, and dies (``_exit``) before every single change to the disk,
one run for each; then does it once more, to the end. Prints how many deaths there were; a line on
stderr and exit code 1 where the tree does not end as it must.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Callable

CHANGES = ("rename", "replace", "symlink", "link", "unlink", "mkdir", "rmdir", "chmod")


def main(agent: str, template: str, stage: str, how: str) -> int:
    """See the module."""
    sys.path.insert(0, agent)
    from matops.matomo.install import clone

    clone.flush = lambda path: None  # a killed process loses nothing that was written
    work = Path(stage).parent.parent / "killed"
    deaths = 0
    # Of the build's many changes, which are all of one kind, every seventh.
    phases = [("build", 7)] if how == "exchange" else []
    phases += [("forth", 1), ("back", 2 if how == "copy" else 1)]
    for phase, every in phases:
        for count in range(1, 2000, every):
            shutil.rmtree(work, ignore_errors=True)
            (work / "stage").mkdir(parents=True)
            shutil.copytree(template, work / "real", symlinks=True)
            if how == "link":
                (work / "docroot").symlink_to("real")
            else:
                (work / "real").rename(work / "docroot")
            run = Run(work, stage, "copy" if how == "copy" else "exchange")
            before = run.picture()
            if phase == "back":
                run.forth()
            elif phase == "forth":
                run.folder()
            died = run.dying(phase, count)
            run.whole()
            run.back() if phase == "back" else run.forth()
            wrong = run.wrong(phase, before)
            if wrong:
                print(f"{how}, {phase}, killed before change {count}: {wrong}", file=sys.stderr)
                return 1
            if not died:
                break
            deaths += 1
    shutil.rmtree(work)
    print(deaths)
    return 0


class Run:
    """One tree."""

    def __init__(self, work: Path, stage: str, how: str) -> None:
        self.work, self.stage, self.how = work, stage, how
        self.docroot = str(work / "docroot")
        self.common = {"docroot": self.docroot, "downloads": str(work / "downloads")}

    def folder(self) -> str:
        """The folder of the installation that is under way; built where there is none."""
        from matops.matomo.install import build, place

        for each in place.all_of(f"{self.work}/stage"):
            if each.state(self.docroot) in (place.HALF, place.DONE):
                return str(each.folder)
        facts = build.build(
            root=f"{self.work}/stage", stage=self.stage, how=self.how, installed="5.3.1",
            accept_unlisted=False, **self.common,
        )  # fmt: skip
        return str(facts["folder"])

    def forth(self) -> None:
        """Builds and installs, as release.install does."""
        from matops.matomo.install import overlay, switch

        folder = self.folder()
        (overlay if self.how == "copy" else switch).forth(folder=folder, **self.common)
        if self.how != "copy":
            switch.put_away(folder=folder, **self.common)

    def back(self) -> None:
        """Goes back, as release.back does."""
        from matops.matomo.install import overlay, place, switch

        folder = str(place.all_of(f"{self.work}/stage")[0].folder)
        module = overlay if self.how == "copy" else switch
        module.back(folder=folder, aside=f"{self.work}/aside", **self.common)

    def dying(self, phase: str, count: int) -> bool:
        """Does it in a process that dies before its change number ``count``; False: it lived."""
        child = os.fork()
        if not child:
            left = [count]
            for name in CHANGES:
                setattr(os, name, _counting(getattr(os, name), left))
            self.back() if phase == "back" else self.forth()
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 99

    def whole(self) -> None:
        """A request now must find one release, whole; with copy it may be in between."""
        if self.how != "copy":
            text = Path(self.docroot, "core/Version.php").read_text()
            text += Path(self.docroot, "index.php").read_text()
            assert ("5.3.1" in text) != ("5.9.0" in text), text

    def picture(self) -> dict[str, str]:
        """Files and their contents."""
        top = os.path.realpath(self.docroot)
        return {
            os.path.relpath(os.path.join(folder, name), top):
                Path(folder, name).read_text(errors="replace")
            for folder, _, names in os.walk(top) for name in names
        }  # fmt: skip

    def wrong(self, phase: str, before: dict[str, str]) -> str:
        """What is not as it must be; '' if all is well."""
        from matops.matomo.install import check, place

        now, places = self.picture(), place.all_of(f"{self.work}/stage")
        if len(places) != 1:
            return f"{len(places)} folders: {[str(each.folder) for each in places]}"
        if phase == "back":
            odd = {name for name in {*before, *now} if before.get(name) != now.get(name)}
            return f"not as before: {sorted(odd)}" if odd else ""
        found = check.check(docroot=self.docroot, folder=str(places[0].folder))
        kept = places[0].tree / "core" / "Only5.3.php"
        if found["state"] != place.DONE or found["wrong"] or found["left"] or not kept.exists():
            return str({**found, "facts": "", "kept": kept.exists()})
        stray = [name for name in now if "matops" in name]
        return f"left lying: {stray}" if stray else ""


def _counting(real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os._exit(99)
        return real(*args, **kwargs)

    return wrapped


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
