"""``make demo``: the throw-away Matomo host, and the main job run on it over real SSH."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from tests.sandbox import Sandbox, SandboxError

ROOT = Path(__file__).parent.parent
NAME = "demo"


def main() -> int:
    """Brings the host up, runs ``fab prep`` on it, says how to go on."""
    try:
        sandbox = Sandbox(NAME).up()
    except SandboxError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    config = shlex.quote(str(sandbox.ssh_config))
    fab = f".venv/bin/fab -S {config} -H {NAME}"
    digest = _sha256(sandbox.release_zip)
    # No signature comes with a zip that was assembled here: its checksum is what we vouch for.
    words = ["prep", "--release", str(sandbox.release_zip), "--sha256", digest, "--window", "1h"]
    print(f"\n$ {fab} {shlex.join(words)}\n", flush=True)
    done = subprocess.run([*shlex.split(fab), *words], cwd=ROOT)
    print(_farewell(sandbox, fab, config), flush=True)
    return done.returncode


def _sha256(path: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _farewell(sandbox: Sandbox, fab: str, config: str) -> str:
    return f"""
A real Matomo {sandbox.installed_version} is at http://{sandbox.address}/ until make demo-down.
  log in      ssh -F {config} {NAME}          (also {NAME}-ops2, {NAME}-nosudo, {NAME}-root)
  other tasks {fab} --list
              {fab} check
              {fab} console core:version
              {fab} status
  again       make demo                     (seconds; says "already done")
  throw away  make demo-down (stop), make demo-clean (remove)"""


if __name__ == "__main__":
    sys.exit(main())
