"""Which of the hits that a log cannot judge are in the database: asked in slices of time.

Runs where the database is reached, on the files of ``accesslog.slicing``: ``sure`` (by their
lines not recorded), ``asked`` (unclear; among them CLAIMs: recorded, by their status, whose rows
must not answer for an equal hit).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from matops.accesslog import gapfile
from matops.accesslog.cut import CLAIM
from matops.accesslog.gapfile import ASKED, HEADER, Hit
from matops.accesslog.runs import merged
from matops.accesslog.verdict import RECORDED, Window
from matops.matomo.database import Database
from matops.matomo.recorded import AFTER, BEFORE, Answer, Recorded

SLICE, LONGEST = 2_000, 8_000
"""Hits asked about at once: at least so many, ending where the log is silent; at most."""
SAMPLES, SAMPLE_HITS = 8, 60
"""Places within the window, and hits at each, where it is looked whether any was recorded."""

BY_DATABASE = "recorded, by the database"
BY_MARK = "recorded, by the mark: the database cannot tell"
UNDECIDED = "left out: neither the log nor the database can tell"

_CLAIM = CLAIM.decode()

Ask = Callable[[Sequence[Any]], list[Answer]]


@dataclass
class Decided:
    """What became of the hits that were asked about; ``claims``: those that a status says were
    recorded, ``missing`` of them not found. ``inside``: of the samples, found recorded."""

    reasons: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    kept: int = 0
    claims: int = 0
    missing: int = 0
    samples: int = 0
    inside: int = 0
    why: Counter[str] = field(default_factory=Counter)

    def data(self) -> dict[str, Any]:
        """For the manifest."""
        return {**vars(self), "reasons": dict(self.reasons), "why": dict(self.why)}


class Decider:
    """Decides for one server. ``window``: by that server's clock; ``ask``: ``Recorded.ask``."""

    def __init__(self, window: Window, ask: Ask) -> None:
        self.window, self._ask = window, ask
        self.done = Decided()

    def files(self, sources: Sequence[str], target: str,
              told: Callable[[int], object] = lambda count: None) -> Decided:  # fmt: skip
        """Reads gap files with unclear hits (CLAIMs among them); writes those to be replayed."""
        with open(target, "wb", 1 << 20) as out:
            out.write(HEADER)
            for lines in slices(sources):
                out.writelines(self._slice(lines))
                told(len(lines))
        return self.done

    def _slice(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        hits = [gapfile.parse(line) for line in lines]
        unclear = any(_CLAIM not in hit.flags for hit in hits)
        answers = self._ask([question(hit) for hit in hits]) if unclear else []
        for place, hit in enumerate(hits):
            answer = answers[place] if answers else Answer(1)
            if _CLAIM in hit.flags:
                self.done.reasons[RECORDED] += 1
                self.done.claims += bool(answers)
                self.done.missing += answer.times == 0 and not answer.why
                continue
            self.done.asked += 1
            reason = self._judge(hit, answer)
            if reason:
                self.done.reasons[reason] += 1
                continue
            self.done.kept += 1
            yield marked(lines[place], ASKED if answer.times is not None else "")

    def _judge(self, hit: Hit, answer: Answer) -> str:
        """'' = to be replayed, else why not."""
        if answer.times is not None:
            return BY_DATABASE if answer.times else ""
        self.done.why[answer.why] += 1
        off, on = self.window.off, self.window.on
        if off is None or on is None:
            return UNDECIDED
        return "" if off.after <= hit.epoch < on.before else BY_MARK

    def sample(self, sure: str) -> Decided:
        """Asks about a few hits within the window that, by the marks, were not recorded."""
        for lines in samples(sure):
            hits = [gapfile.parse(line) for line in lines]
            asked = [hit for hit in hits if hit.status != 503]
            answers = self._ask([question(hit) for hit in asked])
            self.done.samples += len(asked)
            self.done.inside += sum(1 for answer in answers if answer.times)
        return self.done


def question(hit: Hit) -> dict[str, Any]:
    """As ``recorded`` asks."""
    return {"query": hit.query, "time": hit.epoch, "ip": hit.ip,
            "referer": gapfile.text(hit.referer)}  # fmt: skip


def marked(line: bytes, flag: str) -> bytes:
    """The line with one more flag."""
    parts = line.split(b"\t", 5)
    parts[4] += flag.encode() if flag.encode() not in parts[4] else b""
    return b"\t".join(parts)


def slices(sources: Sequence[str]) -> Iterator[list[bytes]]:
    """Lines of sorted gap files in pieces that end where the log is silent, if it ever is."""
    held: list[bytes] = []
    for lines in merged(sources):
        for line in lines:
            if len(held) >= SLICE and (len(held) >= LONGEST or _apart(held[-1], line)):
                yield held
                held = []
            held.append(line)
    if held:
        yield held


def _apart(one: bytes, two: bytes) -> bool:
    return float(two[:14]) - float(one[:14]) > BEFORE + AFTER


def samples(path: str) -> Iterator[list[bytes]]:
    """Some neighbouring lines at each of SAMPLES places of a gap file."""
    with open(path, "rb") as file:
        size = file.seek(0, 2) - len(HEADER)
        for place in range(SAMPLES if size > 0 else 0):
            file.seek(len(HEADER) + size * place // SAMPLES)
            if place:
                file.readline()
            lines = [line for _ in range(SAMPLE_HITS) if (line := file.readline())]
            if lines:
                yield lines
            if place == 0 and size < 200_000:  # a short gap: its first lines will do
                return


@dataclass(frozen=True)
class Voices:
    """``told(count)``: so many lines more; ``escalated``: all will be asked about."""

    told: Callable[[int], object] = lambda count: None
    escalated: Callable[[Decided], object] = lambda found: None


def decide(
    docroot: str, window: Window, work: str, *, whole: bool, voices: Voices
) -> tuple[Decided, bool]:
    """Writes to ``<work>.kept`` the hits of ``<work>.asked`` that were not recorded.

    ``whole``: those of ``<work>.sure``, too. Without it some of these are looked up; where one
    was recorded, all are. Returns True with it where ``kept`` holds the hits of both.
    Raises what ``Database`` raises.
    """
    with Database(docroot, timeout=300) as database:
        decider = Decider(window, Recorded(database).ask)
        if not whole:
            found = decider.sample(f"{work}.sure")
            whole = bool(found.inside)
            if whole:
                voices.escalated(found)
        sources = [f"{work}.sure", f"{work}.asked"] if whole else [f"{work}.asked"]
        return decider.files(sources, f"{work}.kept", voices.told), whole
