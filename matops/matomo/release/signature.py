"""OpenPGP signatures, checked by gpgv against pinned keys; what follows from them."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matops.errors import MatopsError
from matops.matomo.release.downloads import Download, alone, sha256_of

GOOD, BAD, STRANGER, NONE, UNCHECKED = "good", "bad", "stranger", "none", "unchecked"

_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class Verdict:
    """May it be used? ``trust`` says why it may; ``why`` why not, or why it must be asked."""

    use: bool
    trust: str = ""
    why: str = ""
    ask: bool = False


def judge(*, folder: str, name: str, keyring: str) -> dict[str, Any]:
    """What speaks for the download: ``{sha256, signature, detail, keys}``. Changes nothing.

    ``keyring``: pinned keys, base64; '' = none pinned. Runs on the host.
    """
    with alone(folder):
        download = Download(folder, name)
        data = download.part if download.part.exists() else download.whole
        if not data.exists():
            raise MatopsError(f"{data} has gone", next="run this again: it downloads")
        digest = sha256_of(data)
        signature, detail, keys = NONE, "", ""
        if download.signature.exists():
            keyed = base64.b64decode(keyring)
            signature, detail, keys = _gpgv(data, download.signature, keyed)
    return {"sha256": digest, "signature": signature, "detail": detail, "keys": keys}


def accept(*, folder: str, name: str, sha256: str, trust: str) -> str:
    """Gives a verified download its final name; its path. Runs on the host."""
    with alone(folder):
        download = Download(folder, name)
        if not download.part.exists() and download.notes().get("sha256") == sha256:
            return str(download.whole)  # another operator's run was quicker
        if sha256_of(download.part) != sha256:
            raise MatopsError(f"{download.part} changed while it was verified")
        download.note(trust=trust, sha256=sha256, complete=True)
        download.part.replace(download.whole)
        return str(download.whole)


def refuse(*, folder: str, name: str) -> str:
    """Puts a download aside; where it lies now. Runs on the host."""
    with alone(folder):
        return Download(folder, name).set_aside()


def _gpgv(data: Path, signature: Path, keyring: bytes) -> tuple[str, str, str]:
    program = shutil.which("gpgv", path=f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin")
    if not keyring:
        return UNCHECKED, "no key is pinned (config/keys/README.md)", ""
    if not program:
        return UNCHECKED, "this host has no gpgv (Debian package gpgv)", ""
    with tempfile.TemporaryDirectory(prefix="matops-keys-") as home:
        ring = Path(home) / "pinned.gpg"
        ring.write_bytes(dearmor(keyring))
        done = subprocess.run(
            [program, "--homedir", home, "--status-fd", "1", "--keyring", str(ring),
             "--", str(signature), str(data)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": home},
            timeout=600,
        )  # fmt: skip
    return read_status(done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def read_status(status: str, complaint: str = "") -> tuple[str, str, str]:
    """(GOOD, BAD, STRANGER or UNCHECKED; detail; fingerprints) from gpgv's status lines.

    Good means: each signature is valid, by a key of the keyring, which is not expired or
    revoked; the exit code is never asked (GnuPG doc/DETAILS: VALIDSIG alone does not say so,
    GOODSIG does).
    """
    words = [line.split()[1:] for line in status.splitlines() if line.startswith("[GNUPG:] ")]
    said = {word[0]: word for word in words if word}
    # The last field of VALIDSIG is the primary key's fingerprint, the first the signing key's.
    prints = [word[-1] for word in words if word[:1] == ["VALIDSIG"]]
    keys = " ".join(dict.fromkeys(prints))
    for bad, why in (
        ("BADSIG", "the file is not what was signed"),
        ("REVKEYSIG", "the key was revoked"),
        ("EXPKEYSIG", "the key has expired"),
        ("EXPSIG", "the signature has expired"),
    ):
        if bad in said:
            return BAD, f"{why} (key {said[bad][1]})", keys
    if "NO_PUBKEY" in said or "ERRSIG" in said:
        word = said.get("NO_PUBKEY") or said["ERRSIG"]
        return STRANGER, f"signed by key {word[1]}, which is not a pinned one", ""
    good = [word for word in words if word[:1] == ["GOODSIG"]]
    if prints and len(good) == len(prints):
        return GOOD, f"signed by {keys}", keys
    last = (complaint.strip().splitlines() or ["no answer"])[-1]
    return BAD, f"gpgv found no valid signature: {last}", ""


def dearmor(data: bytes) -> bytes:
    """The keyring in the binary form that gpgv reads, from either form."""
    text = data.decode("ascii", "replace")
    if _ARMOR not in text:
        return data
    keys = b""
    for block in re.findall(rf"{_ARMOR}(.*?)-----END PGP", text, re.DOTALL):
        body = re.split(r"\r?\n\s*\r?\n", block, maxsplit=1)[-1]
        lines = [line.strip() for line in body.splitlines()]
        keys += base64.b64decode("".join(line for line in lines if not line.startswith("=")))
    return keys


def verdict(found: dict[str, Any], given: str) -> Verdict:
    """What the facts of ``judge`` and the operator's checksum (or '') come to. Pure.

    A bad signature and a wrong checksum always refuse; an unknown signer or no signature is
    made good by the operator's own checksum only.
    """
    digest, signature, detail = found["sha256"], found["signature"], found["detail"]
    if signature == BAD:
        return Verdict(False, why=f"its OpenPGP signature is not good: {detail}")
    if given and given != digest:
        return Verdict(False, why=f"its sha256 is {digest}, and {given} was asked for")
    if signature == GOOD:
        return Verdict(True, trust=detail + (" and the given sha256" if given else ""))
    if given:
        return Verdict(True, trust="the sha256 given by the operator")
    missing = {NONE: "there is no signature for it", UNCHECKED: "its signature was not checked"}
    lead = missing.get(signature, "its signature proves nothing")
    return Verdict(False, why=f"{lead}: {detail}" if detail else lead, ask=True)
