"""Matomo's closure of Debian packages, chosen by us because sid's own may not be installable.

sid moves: its Matomo may ask for an older library than sid has. Each constraint that sid's
version breaks is then tried with the version of the stable suite, package by package.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .errors import SandboxError
from .home import Home
from .mirror import KEYRING, find_mirror
from .proc import build, run

_OPERATORS = {"<<": "lt", "<=": "le", "=": "eq", ">=": "ge", ">>": "gt"}
# Provided by the host itself, or of no use outside Debian's own packaging.
_SKIP = re.compile(
    r"^(php|php-(cli|common|fpm|cgi|mysql|xml|mbstring|curl|gd|intl|zip|redis)|libapache2-.*"
    r"|httpd.*|lighttpd|nginx.*|apache2.*|debconf.*|perl.*|python3.*|ucf|node-.*|dpkg.*)$"
)


@dataclass(frozen=True)
class Package:
    """One entry of a Packages index."""

    name: str
    version: str
    architecture: str
    depends: str


Index = dict[str, Package]


@dataclass(frozen=True)
class Constraint:
    """One alternative of a dependency: a name, perhaps with a version it must satisfy."""

    name: str
    operator: str = ""
    version: str = ""

    def allows(self, version: str) -> bool:
        """Is `version` good enough (by dpkg's own comparison)?"""
        if not self.operator:
            return True
        words = ["--compare-versions", version, _OPERATORS[self.operator], self.version]
        return subprocess.run(["dpkg", *words], check=False).returncode == 0


class Archive:
    """The package lists of the two suites, in a private apt configuration."""

    def __init__(self, home: Home, stable: str, newer: str) -> None:
        self.home, self.stable, self.newer = home, stable, newer
        self.folder = home.downloads / "apt"

    def update(self) -> None:
        """Fetch today's lists."""
        for sub in ("lists/partial", "cache/archives/partial", "debs"):
            (self.folder / sub).mkdir(parents=True, exist_ok=True)
        mirror = find_mirror()
        (self.folder / "sources.list").write_text(
            "".join(
                f"deb [signed-by={KEYRING}] {mirror} {suite} main\n"
                for suite in (self.stable, self.newer)
            )
        )
        build(["apt-get", *self._options(), "update", "--error-on=any"], self.home.log)

    def date(self, suite: str) -> str:
        """The date of the suite's release file."""
        for path in sorted((self.folder / "lists").glob(f"*_dists_{suite}_InRelease")):
            match = re.search(r"^Date: (.+)$", path.read_text(errors="replace"), re.M)
            if match:
                return match.group(1)
        return "unknown"

    def index(self, suite: str) -> Index:
        """Every package of a suite by name (the last entry wins: there is one a suite)."""
        paths = sorted((self.folder / "lists").glob(f"*_dists_{suite}_main_binary-*_Packages"))
        if not paths:
            raise SandboxError(f"no package list of {suite} in {self.folder}/lists")
        return {package.name: package for package in _parse(paths[0])}

    def download(self, packages: list[Package]) -> list[Path]:
        """The .deb files, fetched and verified by apt; those already here are kept."""
        folder = self.folder / "debs"
        missing = [package for package in packages if not _file(folder, package).is_file()]
        if missing:
            names = [f"{package.name}={package.version}" for package in missing]
            build(["apt-get", *self._options(), "download", *names], self.home.log, cwd=folder)
        return [_file(folder, package) for package in packages]

    def _options(self) -> list[str]:
        # On top of this machine's own configuration, so that its proxy is used as well.
        settings = {
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Check-Date": "false",
            "Acquire::GzipIndexes": "false",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def closure(name: str, wanted: Index, fallback: Index) -> list[Package]:
    """`name` and the architecture-independent packages it needs, in consistent versions."""
    chosen: Index = {}
    rules: dict[str, list[Constraint]] = {}
    waiting = [Constraint(name)]
    while waiting:
        constraint = waiting.pop(0)
        rules.setdefault(constraint.name, []).append(constraint)
        package = _choose(rules[constraint.name], wanted, fallback)
        # A rule found late may move a package to its fallback, never back: this ends.
        if package and chosen.get(package.name) != package:
            chosen[package.name] = package
            waiting.extend(_needs(package, wanted))
    return sorted(chosen.values(), key=lambda package: package.name)


def unpack(files: list[Path], root: Path) -> None:
    """Extract the packages over each other, running none of their scripts."""
    root.mkdir(parents=True, exist_ok=True)
    for path in files:
        run(["dpkg-deb", "-x", str(path), str(root)])


def _choose(rules: list[Constraint], wanted: Index, fallback: Index) -> Optional[Package]:
    name = rules[0].name
    known = [index[name] for index in (wanted, fallback) if name in index]
    if not known or known[0].architecture != "all":
        return None  # virtual, or compiled: the host has its own
    for package in known:
        if all(rule.allows(package.version) for rule in rules):
            return package
    have = ", ".join(sorted({package.version for package in known}))
    want = ", ".join(f"{rule.operator} {rule.version}" for rule in rules if rule.operator)
    raise SandboxError(f"{name} is wanted {want}, the mirror has {have}")


def _needs(package: Package, index: Index) -> Iterator[Constraint]:
    for group in filter(None, (part.strip() for part in package.depends.split(","))):
        options = [_constraint(text) for text in group.split("|")]
        first = next((option for option in options if option.name in index), options[0])
        if not _SKIP.match(first.name):
            yield first


def _constraint(text: str) -> Constraint:
    match = re.match(r"\s*([^\s(:]+)(?::\w+)?\s*(?:\(\s*([<>=]+)\s*([^)\s]+)\s*\))?", text)
    if not match:
        raise SandboxError(f"a dependency that is not understood: {text.strip()}")
    return Constraint(match.group(1), match.group(2) or "", match.group(3) or "")


def _parse(path: Path) -> Iterator[Package]:
    wanted = ("Package", "Version", "Architecture", "Depends")
    fields: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line == "\n":
                yield Package(*(fields.get(key, "") for key in wanted))
                fields = {}
            elif line[0] in "PVAD":
                key, _, value = line.partition(":")
                if key in wanted:
                    fields[key] = value.strip()
    if fields:
        yield Package(*(fields.get(key, "") for key in wanted))


def _file(folder: Path, package: Package) -> Path:
    version = package.version.replace(":", "%3a")
    return folder / f"{package.name}_{version}_{package.architecture}.deb"
