"""A stage that a web server gives out: closed where Apache honours it, else refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from matops.errors import OutcomeUnknown, Refused
from matops.matomo.release import exposure, places, tree
from matops.matomo.release.downloads import alone
from matops.matomo.release.faults import told
from matops.matomo.release.owner import Owner, owner_of, save

HTACCESS = """# Written by matops: nothing in this folder is for the web.
<IfModule mod_authz_core.c>
    Require all denied
</IfModule>
<IfModule !mod_authz_core.c>
    Order deny,allow
    Deny from all
</IfModule>
"""


def proven(
    folder: Path, root: Path, docroot: str, web: dict[str, Any], owner: Owner
) -> dict[str, Any]:
    """Proves that ``folder`` is not served; ``{line, answered, requests, closed}``.

    Where it is, writes ``root/.htaccess`` and proves again. Refused (and the file removed)
    where that does not help.
    """
    ids = (owner.uid, owner.gid)
    proof = exposure.prove(folder, docroot, web, ids)
    closed = (root / ".htaccess").is_file()
    if proof.served:
        proof = _close(folder, root, docroot, web, ids, proof)
        closed = True
    line = f"{proof.line}: not served{' (closed by .htaccess)' if closed else ''}"
    return {
        "line": line,
        "answered": proof.answered,
        "requests": proof.requests,
        "closed": closed,
    }


def again(*, docroot: str, path: str, folder: str, web_user: str, web: dict[str, Any],
          root: str = "") -> dict[str, Any]:  # fmt: skip
    """Is a stage that was proven once given out today? ``{served, answered, line}``.

    Leaves everything as it is, but for the two files that it asks for, a second long. Refused
    where the stage is in use. Runs on the host.
    """
    with alone(folder):
        places.spare(Path(path), docroot)
        owner = owner_of(docroot, web_user)
        with told("ask the web server for the stage", path, "Nothing was changed"):
            proof = exposure.prove(Path(path) / tree.TREE, docroot, web, (owner.uid, owner.gid))
    return {"served": proof.served, "answered": proof.answered, "line": proof.line}


def finish(*, docroot: str, root: str, path: str, folder: str, web_user: str,
           web: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Proves a finished stage, index.php included, and notes it there; its manifest.

    Refused where it is served and cannot be closed: it is removed then. Where no web server
    answers nothing is proven: OutcomeUnknown, and the stage stays. Runs on the host.
    """
    with alone(folder):
        stage, owner = Path(path), owner_of(docroot, web_user)
        places.spare(stage, docroot)  # before anything may be removed
        manifest = tree.read_manifest(stage)
        try:
            with told("ask the web server for the stage", path, "The stage is there, unproven"):
                proof = proven(stage / tree.TREE, Path(root), docroot, web, owner)
        except Refused:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        if not proof["answered"]:
            raise OutcomeUnknown(
                "no web server answers here: that the stage is not served is not proven",
                state=f"The stage is complete: {path}",
                next="start the web server, or set url, then run this again",
            )
        manifest["proof"] = {**proof, "final": True}
        save(stage, manifest)
        return manifest


def _close(
    folder: Path, root: Path, docroot: str, web: dict[str, Any],
    ids: tuple[int, int], first: exposure.Proof,
) -> exposure.Proof:  # fmt: skip
    guard = root / ".htaccess"
    ours = not guard.exists()
    if ours:
        guard.write_text(HTACCESS)
        guard.chmod(0o644)
    proof = exposure.prove(folder, docroot, web, ids)
    if not proof.served:
        return proof
    if ours:
        guard.unlink()
    server = first.servers[0] if first.servers else "the web server"
    raise Refused(
        f"{root} is served to the web: {proof.served[0].rsplit('/', 1)[0]}/ gives out its files "
        f"({server}; a protecting .htaccess there does not help)",
        state="The stage was removed again",
        next=f"set stage_dir to a folder outside every document root, or deny /{root.name}/ in "
        "the web server's configuration",
    )
