"""Files on the real host: atomic, owner and mode kept, verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from matops.errors import MatopsError, Refused
from matops.host import files
from matops.host.shell import CommandFailed
from tests.conftest import HostFactory
from tests.sandbox import Sandbox


def test_write_keeps_owner_and_mode(host_factory: HostFactory) -> None:
    host = host_factory()
    host.run("install -o www-data -g www-data -m 0604 /dev/null /root/kept", user="root")
    files.write(host, "/root/kept", b"new\0bytes", user="root")
    assert host.run("stat -c '%U %a' /root/kept", user="root").text == "www-data 604\n"
    assert files.read(host, "/root/kept", user="root") == b"new\0bytes"


def test_a_new_file_is_private(host_factory: HostFactory) -> None:
    host = host_factory()
    files.write(host, "/root/fresh", b"secret", user="root")
    assert host.run("stat -c '%U %a' /root/fresh", user="root").text == "root 600\n"
    assert host.run("ls -A /root | grep -c fresh", user="root").text == "1\n"


def test_what_cannot_be_written_leaves_nothing(host_factory: HostFactory) -> None:
    host = host_factory()
    with pytest.raises(CommandFailed):
        files.write(host, "/proc/nothing", b"x", user="root")
    with pytest.raises(CommandFailed, match="no folder"):
        files.write(host, "/no/such/folder/file", b"x", user="root")
    with pytest.raises(CommandFailed, match="denied"):
        files.write(host, "/etc/not-mine", b"x")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(
    host_factory: HostFactory, sandbox: Sandbox
) -> None:
    host = host_factory()
    sandbox.exec("sh", "-c", "mkdir -p /mnt/small && mount -t tmpfs -o size=64k tmpfs /mnt/small")
    try:
        files.write(host, "/mnt/small/file", b"old", user="root")
        with pytest.raises(CommandFailed, match="No space left"):
            files.write(host, "/mnt/small/file", b"x" * 200_000, user="root")
        assert files.read(host, "/mnt/small/file", user="root") == b"old"
        assert host.run("ls -A /mnt/small", user="root").text == "file\n"
    finally:
        sandbox.exec("umount", "/mnt/small")


def test_read_says_what_is_wrong(host_factory: HostFactory) -> None:
    host = host_factory()
    with pytest.raises(files.NotThere):
        files.read(host, "/no/such/file")
    with pytest.raises(Refused, match="longer than 10 bytes"):
        files.read(host, "/etc/passwd", limit=10)
    with pytest.raises(MatopsError, match="denied"):
        files.read(host, "/etc/shadow")


def test_upload_streams_and_compares(host_factory: HostFactory, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(b"0123456789abcdef" * 200_000)
    seen: list[int] = []
    digest = files.upload(host_factory(), source, "/root/big", user="root", progress=seen.append)
    assert sum(seen) == 3_200_000
    found = host_factory().run("sha256sum /root/big; stat -c %a /root/big", user="root").text
    assert found.startswith(digest) and found.endswith("600\n")
