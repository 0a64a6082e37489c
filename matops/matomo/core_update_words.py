"""What core:update says when there is nothing to do, in every language that Matomo has.

The console speaks the language of [General] default_language; [X], [!], "Executing" and "Done."
are the same in all of them, this is not.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

ENGLISH = "Everything is already up to date."


def up_to_date_words(docroot: str) -> list[str]:
    """All translations of CoreUpdater_AlreadyUpToDate that the release has; English at least."""
    found = {ENGLISH}
    for path in Path(docroot, "plugins", "CoreUpdater", "lang").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.add(str(json.loads(path.read_text())["CoreUpdater"]["AlreadyUpToDate"]))
    return sorted(words for words in found if len(words) > 5)
