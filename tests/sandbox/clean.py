"""Taking everything away again."""

from .api import Sandbox
from .home import Home
from .host import all_specs
from .image import discard_leftovers
from .say import say
from .trees import remove


def clean(home: Home, downloads: bool) -> None:
    """Every host, every image, every release; the downloads only when asked."""
    for spec in all_specs(home):
        say(f"removing the host {spec.name}")
        Sandbox(spec.name).destroy()
    with home.lock("build"):
        discard_leftovers(home)
        folders = [home.images, home.release, *([home.downloads] if downloads else [])]
        for folder in folders:
            remove(folder)
        home.versions.unlink(missing_ok=True)
