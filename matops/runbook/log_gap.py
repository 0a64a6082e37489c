"""Steps of ``logs.gap``: a gap file on each web server, then one of all."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from matops.accesslog import gapstore, keeping
from matops.accesslog.verdict import KEEP, Window
from matops.errors import MatopsError
from matops.host import files
from matops.host import jobs as host_jobs
from matops.matomo.site import Site
from matops.runbook import log_gap_judge as judge
from matops.runbook.log_gap_there import Asked, Voices, Work
from matops.runbook.step import Action, Evidence, Look, Say, Scope, Step, Track
from matops.runbook.there import run_there, same_or_refuse
from matops.units import show_epoch, show_size

NAME = "logs.gap"
_PATIENCE = 3600.0  # seconds for reading a gap file's checksum, or merging


def root_of(site: Site) -> str:
    """The folder of all gaps on that host."""
    return f"{site.state_dir}/gaps"


def kept_of(site: Site) -> str:
    """The folder of the rotated logs that are kept on that host."""
    return f"{site.state_dir}/{keeping.FOLDER}"


def here(site: Site) -> bool:
    """True where this very process may do it."""
    return site.host.is_local and (site.keeper is None or os.geteuid() == 0)


def ask(site: Site, function: str, **payload: Any) -> Any:
    """``matops.accesslog.<function>`` on the host, as who keeps matops' folder."""
    return site.agent.call(
        f"matops.accesslog.{function}", payload,
        user=None if here(site) else site.keeper, timeout=_PATIENCE,
    )  # fmt: skip


@dataclass(frozen=True)
class Ways:
    """How the steps tell. ``expires``: when the files are to be removed (seconds since 1970);
    ``again``: cut although it was cut already."""

    track: Track
    write: Say
    expires: float
    again: bool = False


class CutGap(Step):
    """One server's part. ``server``: its name in the gap file; ``site``: the host where its
    logs are. Reads logs and database; adds to matops' own folder only."""

    name = NAME
    title = "Cut the gap out of the access logs"
    changes_data = False
    attaches = (NAME,)

    def __init__(self, site: Site, say: Say, server: str, asked: Asked, ways: Ways) -> None:
        super().__init__(site, say)
        self.server, self.asked, self.ways = gapstore.plain(server), asked, ways
        self.part: dict[str, Any] = {}

    def _part(self) -> dict[str, Any]:
        found: dict[str, Any] = ask(
            self.site, "gapstore:part", root=root_of(self.site), label=self.asked.label,
            server=self.server, wanted=self.asked.data(),
        )  # fmt: skip
        return found

    @property
    def _words(self) -> list[str]:
        return [NAME, "--part", f"{self.asked.label}/{self.server}"]

    def look(self) -> Look:
        """Was it cut already, exactly so?"""
        running = None if here(self.site) else self.site.jobs.latest(NAME)
        if running and running.state == host_jobs.RUNNING:
            same_or_refuse(self.site, NAME, running, self._words)
            why = f"job {running.name} runs since {running.started}"
            return Look([Action("attach to the cut that runs already", why, running.name)])
        found = {} if self.ways.again else self._part()
        if found:
            self.part = found
            return Look(because=f"{self.server}: cut {show_epoch(found['made'])}, "
                        f"{found['gap']['hits']} hits")  # fmt: skip
        window = self.asked.window
        what = (
            f"cut {show_epoch(window.start)} to {show_epoch(window.end)} out of the access logs of "
            f"{self.server}"
        )
        return Look([Action(what, "these hits were not recorded when they came")],
                    notes=_edges(window))  # fmt: skip

    def act(self, action: Action) -> None:
        """Here, or as a job there, or attaches to the job there."""
        if here(self.site):
            self._cut()
            return
        data = {"asked": self.asked.data(), "expires": self.ways.expires}
        ask(self.site, "gapstore:request", root=root_of(self.site), label=self.asked.label,
            server=self.server, data=data)  # fmt: skip
        run_there(self.site, NAME, self._words, write=self.ways.write,
                  attach=str(action.payload or ""))  # fmt: skip

    def _cut(self) -> None:
        voices = Voices(self.say, self.ways.track)
        work = Work(self.site.docroot, self.server, root_of(self.site), self.asked,
                    self.ways.expires, voices)  # fmt: skip
        work.run()

    def verify(self) -> Evidence:
        """The part's manifest, and the file's checksum."""
        found = self._part()
        if not found:
            raise MatopsError(
                f"no whole gap file of {self.server} is in {root_of(self.site)}/{self.asked.label}",
                next="run logs.gap again",
            )
        self.part = found
        if here(self.site):
            for line in judge.notes(found, self.asked.window):
                self.say(f"  {line}")
        gap = found["gap"]
        line = f"{gap['hits']} hits of {found['seen']} requests for the tracker, in {gap['path']}"
        return Evidence(line, {"hits": gap["hits"], "reasons": found["reasons"]})


def _edges(window: Window) -> list[str]:
    if window.marked:
        return [f"both ends are marked; hits within {window.margin:.0f} s of a mark are decided "
                "one by one"]  # fmt: skip
    missing = "no end is" if not (window.off or window.on) else "only one end is"
    return [f"{missing} marked: every hit whose status does not tell is asked of the database"]


class MergeGap(Step):
    """All parts as one file on the leader. ``cuts``: the steps that made them."""

    name = "logs.gap.merge"
    title = "Merge the servers' gap files"
    scope = Scope.SERVER
    changes_data = False

    def __init__(self, site: Site, say: Say, cuts: Sequence[CutGap], ways: Ways,
                 notes: Sequence[str] = ()) -> None:  # fmt: skip
        super().__init__(site, say)
        self.cuts, self.ways, self._notes = cuts, ways, list(notes)
        self.manifest: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """The gap's folder."""
        return self.cuts[0].asked.label

    def _wanted(self) -> dict[str, Any]:
        return {cut.server: cut.part.get("gap", {}).get("sha256", "") for cut in self.cuts}

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = ask(
            self.site, "gapstore:look", root=root_of(self.site), label=self.label,
            wanted=self._wanted(),
        )  # fmt: skip
        return found

    def look(self) -> Look:
        """Are these very parts merged already?"""
        known = all(cut.part for cut in self.cuts)
        found = self._look() if known else {}
        if found:
            self.manifest = found
            return Look(
                because=f"merged: {found['merged']['path']}, {found['merged']['hits']} hits"
            )
        away = [cut.server for cut in self.cuts if cut.site is not self.site]
        copied = f", after copying those of {', '.join(away)} here" if away else ""
        return Look([Action(f"merge {len(self.cuts)} gap files{copied}",
                            "a visitor's hits may be on several servers")])  # fmt: skip

    def act(self, action: Action) -> None:
        """Copies (through this machine, compressed) and merges."""
        for cut in self.cuts:
            if cut.site is not self.site:
                self._copy(cut)
        self.manifest = ask(
            self.site, "gapstore:merge", root=root_of(self.site), label=self.label,
            servers=[cut.server for cut in self.cuts], asked=self._wanted(),
            expires=self.ways.expires, notes=self._notes,
        )  # fmt: skip

    def _copy(self, cut: CutGap) -> None:
        there = f"{root_of(cut.site)}/{self.label}"
        target = f"{root_of(self.site)}/{self.label}"
        for name in (f"{cut.server}.json", gapstore.TOKENS):
            data = self._small(cut.site, f"{there}/{name}")
            if data is not None and name == gapstore.TOKENS:
                ask(self.site, "gapstore:merge_tokens", root=root_of(self.site), label=self.label,
                    data=data.decode())  # fmt: skip
            elif data is not None:
                files.write(self.site.host, f"{target}/{name}", data, user=self.site.keeper,
                            mode="0600")  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="matops-gap-") as folder:  # 0700
            packed = Path(folder) / "gap.gz"
            fetch(cut.site, f"{there}/{cut.server}.gap", packed)
            path = f"{target}/{cut.server}.gap.gz"
            files.upload(self.site.host, packed, path, user=self.site.keeper)
        ask(self.site, "gapstore:arrived", root=root_of(self.site), label=self.label,
            server=cut.server)  # fmt: skip

    def _small(self, site: Site, path: str) -> Optional[bytes]:
        try:
            return files.read(site.host, path, user=site.keeper, limit=64 << 20)
        except files.NotThere:
            return None

    def verify(self) -> Evidence:
        """The manifest, and the file's checksum."""
        found = self._look()
        if not found:
            raise MatopsError("the merged gap file is not as its manifest says",
                              next="run logs.gap again")  # fmt: skip
        self.manifest = found
        merged = found["merged"]
        line = (
            f"{merged['hits']} hits ({show_size(merged['bytes'])}) in {merged['path']}; removed by "
            f"logs.clean after {show_epoch(found['expires'])}"
        )
        return Evidence(line, {"path": merged["path"], "hits": merged["hits"],
                               "to_replay": found["reasons"].get(KEEP, 0)})  # fmt: skip


def fetch(site: Site, path: str, target: Path) -> None:
    """A gap file from a host, compressed on the way, in pieces."""
    offset = 0
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        while True:
            piece = ask(site, "gapstore:piece", path=path, offset=offset)
            out.write(base64.b64decode(piece["gz"]))
            offset = piece["next"]
            if not piece["more"]:
                return
