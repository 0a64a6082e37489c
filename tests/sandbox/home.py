"""Where the sandbox keeps its things, outside the checkout, and the locks on them."""

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .say import say

DEFAULT_HOME = "/var/cache/matops-sandbox"
ENV_HOME = "MATOPS_SANDBOX_HOME"


@dataclass(frozen=True)
class Home:
    """The folders below the sandbox's home."""

    path: Path

    @property
    def downloads(self) -> Path:
        """Packages as they came from the mirror; they outlive `clean`."""
        return self.path / "downloads"

    @property
    def images(self) -> Path:
        """Pristine root trees, never booted once complete."""
        return self.path / "images"

    @property
    def hosts(self) -> Path:
        """One folder per throw-away host."""
        return self.path / "hosts"

    @property
    def release(self) -> Path:
        """Assembled Matomo releases, as zip files."""
        return self.path / "release"

    @property
    def log(self) -> Path:
        """The output of everything that was built."""
        return self.path / "build.log"

    @property
    def scope(self) -> str:
        """What names outside the home (of network namespaces) begin with; not in the default."""
        here = str(self.path)
        return "" if here == DEFAULT_HOME else f"{zlib.crc32(here.encode()):08x}-"

    @property
    def versions(self) -> Path:
        """What exactly the images and releases were made of."""
        return self.path / "versions.json"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name`; say so when somebody else has it."""
        folder = self.path / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another sandbox command holds the lock '{name}': waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def find_home() -> Home:
    """The home named by the environment, or the default one."""
    return Home(Path(os.environ.get(ENV_HOME) or DEFAULT_HOME).absolute())
