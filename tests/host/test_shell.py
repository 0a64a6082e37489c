"""Running things on the real host: users, sudo, stdin, time-outs, lost links, host keys."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from matops.errors import (
    ConnectionLost,
    MatopsError,
    OutcomeUnknown,
    PrivilegeMissing,
    Unreachable,
)
from matops.host.local import LocalLink
from matops.host.shell import CommandFailed, Host
from matops.host.ssh import SshLink
from tests.conftest import HostFactory, connection
from tests.sandbox import Sandbox


@pytest.mark.parametrize("login", ["ops", "ops2", "root"])
@pytest.mark.parametrize("become", [None, "root", "www-data"])
def test_becomes_any_user_and_gets_stdin(
    host_factory: HostFactory, login: str, become: str | None
) -> None:
    host = host_factory(login)
    for _ in range(2):  # the second time sudo has a fresh ticket and reads no password
        result = host.run('id -un; printf "%s;" "$@"; cat', "a b", "$c'", user=become, stdin=b"in")
        assert result.text == f"{become or login}\na b;$c';in"


def test_a_wrong_sudo_password_is_one_line_and_reaches_no_command(
    host_factory: HostFactory,
) -> None:
    host = host_factory("ops2", password="not-it")
    with pytest.raises(PrivilegeMissing) as caught:
        host.run("cat", user="root", stdin=b"payload")
    assert "\n" not in caught.value.line()
    assert "not-it" not in caught.value.line() and "payload" not in caught.value.line()


def test_without_sudo_rights_nothing_runs(host_factory: HostFactory) -> None:
    with pytest.raises(PrivilegeMissing, match="may not become root"):
        host_factory("nosudo").run("touch /tmp/should-not-be", user="root")
    assert host_factory().run("test -e /tmp/should-not-be", check=False).code == 1


@pytest.mark.parametrize("shell", ["/bin/csh", "/usr/sbin/nologin"])
def test_login_shells_that_are_not_sh(sandbox: Sandbox, shell: str) -> None:
    if shell == "/bin/csh":  # not installed: one that refuses what csh would choke on
        text = "#!/bin/sh\ncase $2 in *'\n'*|*!*) exit 9;; esac\nexec sh \"$@\"\n"
        sandbox.exec("sh", "-c", f"cat > {shell}; chmod 755 {shell}", input=text.encode())
    sandbox.exec("usermod", "-s", shell, "nosudo")
    host = Host(SshLink(connection(sandbox, "nosudo")))
    try:
        if shell.endswith("nologin"):
            with pytest.raises(MatopsError, match="no command can be run there"):
                host.run("true")
        else:
            assert host.run("printf '%s' \"$1\"\ncat", "a!b", stdin=b"in").text == "a!bin"
    finally:
        sandbox.exec("usermod", "-s", "/bin/bash", "nosudo")
        host.close()


def test_a_signal_is_an_exit_code_not_a_lost_link(host_factory: HostFactory) -> None:
    assert host_factory().run("kill -SEGV $$", check=False).code == 139


def test_a_wrong_sudo_password_is_tried_once(host_factory: HostFactory) -> None:
    with pytest.raises(PrivilegeMissing) as caught:
        host_factory("ops2", password="not-it").run("cat", user="root", stdin=b"payload\n" * 9)
    assert "1 incorrect password attempt" in caught.value.line()


def test_124_of_a_command_is_its_own(host_factory: HostFactory) -> None:
    assert host_factory().run("exit 124", check=False).code == 124


def test_failure_is_told_with_its_own_words(host_factory: HostFactory) -> None:
    with pytest.raises(CommandFailed) as caught:
        host_factory().run("echo first >&2; echo the reason >&2; exit 7", what="try it")
    assert caught.value.result.code == 7
    assert "try it: the reason" in caught.value.line()


def test_time_out_ends_the_command_there(host_factory: HostFactory) -> None:
    host = host_factory()
    with pytest.raises(OutcomeUnknown, match="took longer than 1 s"):
        host.run("echo $$ > /tmp/matops-sleeper; exec sleep 300", timeout=1)
    pid = host.run("cat /tmp/matops-sleeper").text.strip()
    assert host.run(f"kill -0 {pid}", check=False).code != 0


def test_output_beyond_the_cap_is_dropped_and_said(host_factory: HostFactory) -> None:
    result = host_factory().run("head -c 3000000 /dev/zero; echo done >&2", cap=1000)
    assert len(result.out) == 1000 - 0 or len(result.out) <= 1064
    assert result.truncated
    assert result.code == 0


def test_megabytes_through_stdin(host_factory: HostFactory) -> None:
    pieces = (b"x" * 65536 for _ in range(160))
    assert host_factory().run("wc -c", user="root", stdin=pieces).text.strip() == str(160 * 65536)


def test_a_command_that_does_not_read_its_stdin(host_factory: HostFactory) -> None:
    pieces = (b"x" * 65536 for _ in range(160))
    assert host_factory().run("exit 3", stdin=pieces, check=False).code == 3


def test_link_cut_in_the_middle_is_unknown_not_failed(
    host_factory: HostFactory, sandbox: Sandbox
) -> None:
    host = host_factory()
    host.run("true")
    timer = threading.Timer(1, sandbox.kill_ssh_sessions)
    timer.start()
    with pytest.raises(ConnectionLost) as caught:
        host.run("sleep 20", timeout=30)
    assert caught.value.code == 4
    assert host.run("echo back").text == "back\n", "the next command connects anew"


def test_black_holed_link_ends_in_time(host_factory: HostFactory, sandbox: Sandbox) -> None:
    host = host_factory()
    host.run("true")
    sandbox.drop_link()
    try:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            host.run("true", timeout=2)
        assert time.monotonic() - began < 60
    finally:
        sandbox.restore_link()


def test_changed_host_key_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    other = Ed25519PrivateKey.generate().public_key()
    key = other.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    error = _refused(sandbox, tmp_path, f"{sandbox.address} {key}\n")
    assert "host key has CHANGED" in error.line()


def test_unknown_host_key_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    error = _refused(sandbox, tmp_path, "")
    assert "not in known_hosts" in error.line()


def test_unknown_key_of_a_jump_host_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    config = _config(sandbox, tmp_path, "").replace(f"Host {sandbox.name}", "Host jump")
    whole = sandbox.ssh_config.read_text() + "\n" + config
    text = f"Host behind\n  HostName {sandbox.address}\n  ProxyJump jump\n{whole}"
    with pytest.raises(Unreachable, match="not in known_hosts"):
        _host("behind", text, tmp_path).run("true")


def test_through_a_jump_host(sandbox: Sandbox, tmp_path: Path) -> None:
    known = sandbox.ssh_config.read_text()
    behind = known.replace(
        f"Host {sandbox.name}\n", "Host behind\n    ProxyJump " + sandbox.name + "\n"
    )
    host = _host("behind", behind.split("\n\n")[0] + "\n\n" + known, tmp_path)
    assert host.run("id -un").text == "ops\n"
    host.close()


def _refused(sandbox: Sandbox, tmp_path: Path, known: str) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        _host(sandbox.name, _config(sandbox, tmp_path, known), tmp_path).run("true")
    return caught.value


def _config(sandbox: Sandbox, tmp_path: Path, known: str) -> str:
    file = tmp_path / "known_hosts"
    file.write_text(known)
    text = sandbox.ssh_config.read_text().split("\n\n")[0]
    return text.replace(str(sandbox.known_hosts), str(file)) + "\n"


def _host(alias: str, config: str, tmp_path: Path) -> Host:
    from fabric import Config, Connection

    path = tmp_path / "ssh_config"
    path.write_text(config)
    return Host(SshLink(Connection(alias, config=Config(runtime_ssh_path=str(path)))))


def test_a_wrong_name_and_a_closed_port(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no such host name"):
        _host("no-such-host.invalid", "", tmp_path).run("true")
    with pytest.raises(Unreachable, match="cannot connect"):
        _host("closed", "Host closed\n  HostName 127.0.0.1\n  Port 9\n", tmp_path).run("true")


def test_keepalive_is_on(sandbox: Sandbox) -> None:
    link = SshLink(connection(sandbox))
    transport = link.open()
    assert transport.packetizer._Packetizer__keepalive_interval > 0
    link.close()


def test_the_same_way_on_this_machine() -> None:
    host = Host(LocalLink())
    assert host.run("id -un; cat", stdin=b"hi").text == "root\nhi"
    assert host.run("id -un", user="nobody").text == "nobody\n"
    with pytest.raises(OutcomeUnknown):
        host.run("sleep 60", timeout=1)
    assert host.run("kill -9 $$", check=False).code == 137
    buffer = io.BytesIO(host.run("head -c 300000 /dev/zero", cap=500000).out)
    assert len(buffer.getvalue()) == 300000


def test_an_interrupted_local_command_leaves_no_child() -> None:
    host = Host(LocalLink())
    timer = threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        host.run("exec sleep 4321", user="nobody", timeout=60)
    assert subprocess.run(["pgrep", "-f", "sleep 4321"], capture_output=True).returncode == 1
