"""The old tree is given out by no web server: proven by requests. Runs on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matops.errors import MatopsError
from matops.matomo.install import switch
from matops.matomo.install.place import Place
from matops.matomo.release import exposure, tree
from matops.matomo.release.faults import told
from matops.matomo.release.owner import owner_of
from matops.matomo.release.protect import HTACCESS


def put(
    *, docroot: str, folder: str, downloads: str, web_user: str, web: dict[str, Any]
) -> dict[str, Any]:
    """Puts the old tree away, proves that it is given out by nobody, and notes that the
    installation is over: ``{line, answered, old}``. Its folder is ours alone (0700); where that
    is not enough, because matops is not root here, .htaccess closes it.

    MatopsError where it is given out nevertheless: old PHP must not run on a migrated schema.
    """
    if Place(folder).facts().get("how") == "exchange":
        switch.put_away(docroot=docroot, folder=folder, downloads=downloads)
    owner, top = owner_of(docroot, web_user), Path(folder) / tree.TREE
    with told("ask the web server for the old tree", folder, "The new release is in place"):
        proof = exposure.prove(top, docroot, web, (owner.uid, owner.gid))
        if proof.served:
            guard = Path(folder) / ".htaccess"
            guard.write_text(HTACCESS)
            guard.chmod(0o644)
            proof = exposure.prove(top, docroot, web, (owner.uid, owner.gid))
    if proof.served:
        raise MatopsError(
            f"the old tree is given out to the web: {proof.served[0]}",
            state="The new release is in place",
            next=f"deny {folder} in the web server's configuration, or move the folder away",
        )
    Place(folder).note(finished=True)
    return {"line": f"{proof.line}: not served", "answered": proof.answered, "old": str(top)}
