"""What a plugin says it works with (``require`` in plugin.json), judged as Matomo judges it.

Matomo uses Composer's constraint syntax with two habits of its own (core/Plugin/Dependency.php):
a bare ``5.0.0`` means ``>=5.0.0``, and a range of Matomo versions without an upper bound ends
before the next major version. Pure functions.
"""

from __future__ import annotations

import operator
import re
from typing import Callable

from matops.matomo.release.versions import Key, key

_OPERATORS: dict[str, Callable[[Key, Key], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "!=": operator.ne,
    "<>": operator.ne,
    "=": operator.eq,
    "==": operator.eq,
}
_PART = re.compile(r"(>=|<=|<>|!=|==|=|>|<|\^|~)?\s*(v?\d[\w.+~*-]*|\*)")
_DEV = 0  # the lowest stage of a version


def satisfied(constraint: str, version: str) -> bool:
    """True if ``version`` fulfils ``constraint``. ValueError where it is not understood."""
    wanted = key(version)
    alternatives = re.split(r"\s*\|\|?\s*", constraint.strip())
    return any(all(test(wanted) for test in _tests(text)) for text in alternatives)


def bounded(constraint: str) -> str:
    """The range of Matomo versions that Matomo makes of ``constraint``."""
    if "," in constraint:
        return constraint
    digits = re.sub(r"[><=!~^]", "", constraint).strip()
    if re.match(r"<=?\d", constraint):
        return f">={digits[0]}.0.0-b1,{constraint}"
    if digits[:1].isdigit():
        return f"{constraint},<{int(digits[0]) + 1}.0.0-b1"
    return ">=4.0.0-b1,<5.0.0-b1"


def _tests(text: str) -> list[Callable[[Key], bool]]:
    tests = []
    for word in [part.strip() for part in text.split(",")]:
        position = 0
        while position < len(word):
            found = _PART.match(word, position)
            if not found:
                raise ValueError(f"'{text}' is not a range of versions")
            tests.append(_test(found[1] or "", found[2]))
            position = found.end()
            while word[position : position + 1].isspace():
                position += 1
    return tests


def _test(sign: str, version: str) -> Callable[[Key], bool]:
    if version == "*":
        return lambda found: True
    if version.endswith((".*", ".x")):
        head = _numbers(version[:-2])
        return lambda found: found[: len(head)] == head
    if sign in ("^", "~"):
        return _span(sign, version)
    low = key(version)
    if sign in ("", ">=", "<") and not re.search(r"[A-Za-z]", version.lstrip("v")):
        # Composer: ">=5.0.0" lets 5.0.0-b1 in, "<6.0.0" keeps 6.0.0-b1 out.
        low = (*low[:4], _DEV)
    compare = _OPERATORS[sign or ">="]
    return lambda found: compare(found, low)


def _span(sign: str, version: str) -> Callable[[Key], bool]:
    numbers = _numbers(version)
    if sign == "^":  # up to the next change of the first number that is not 0
        place = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
    else:  # the last number given may grow
        place = max(len(numbers) - 2, 0)
    high = (*numbers[:place], numbers[place] + 1, *[0] * (3 - place), _DEV)
    low = key(version)
    low = low if re.search(r"[A-Za-z]", version.lstrip("v")) else (*low[:4], _DEV)
    return lambda found: low <= found < high


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    if not found:
        raise ValueError(f"'{version}' is not a version")
    return tuple(int(part) for part in found[1].split("."))[:4]
