"""``make demo``: the throw-away Matomo host, and the whole upgrade on it over real SSH."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.sandbox import Sandbox, SandboxError

ROOT = Path(__file__).parent.parent
NAME = "demo"


def main() -> int:
    """Brings the host up, upgrades it as an operator would, says how to go on."""
    try:
        sandbox = Sandbox(NAME).up()
    except SandboxError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    config = shlex.quote(str(sandbox.ssh_config))
    fab = f".venv/bin/fab -S {config} -H {NAME}"
    code = 0
    for words in _commands(sandbox):
        print(f"\n$ {fab} {shlex.join(words)}\n", flush=True)
        code = subprocess.run([*shlex.split(fab), *words], cwd=ROOT).returncode
        if code:
            break
    print(_farewell(sandbox, fab, config), flush=True)
    return code


def _commands(sandbox: Sandbox) -> list[list[str]]:
    """The upgrade, or where it is done already: what there is to see."""
    if _version(sandbox) == sandbox.release_version:
        print(
            f"\nThe host runs {sandbox.release_version} already: upgraded by an earlier make demo"
        )
        return [["status"], ["invalidations.size"]]
    digest = _sha256(sandbox.release_zip)
    # No signature comes with a zip that was assembled here: its checksum is what we vouch for.
    prep = ["prep", "--release", str(sandbox.release_zip), "--sha256", digest, "--window", "1h"]
    offline = ["offline", "--tracking", "replay", "--settle", "1s", "--yes"]
    return [prep, offline, ["update", "--yes"], ["recover", "--prove-with-hit", "1", "--yes"]]


def _version(sandbox: Sandbox) -> str:
    """Of the files in the docroot now."""
    text = (sandbox.root / sandbox.docroot.lstrip("/") / "core" / "Version.php").read_text()
    found = re.search(r"VERSION = '([^']+)'", text)
    return found[1] if found else ""


def _sha256(path: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _farewell(sandbox: Sandbox, fab: str, config: str) -> str:
    return f"""
A real Matomo {_version(sandbox)} is at http://{sandbox.address}/ until make demo-down.
  log in      ssh -F {config} {NAME}          (also {NAME}-ops2, {NAME}-nosudo, {NAME}-root)
  other tasks {fab} --list
              {fab} check
              {fab} console core:version
              {fab} status
  once more   python3 -m tests.sandbox reset    (the old release again), make demo
  throw away  make demo-down (stop), make demo-clean (remove)"""


if __name__ == "__main__":
    sys.exit(main())
