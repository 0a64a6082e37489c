"""A booted root tree: its processes, its services, and a way in."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

from .errors import SandboxError
from .flavour import Service
from .network import Network
from .proc import PATH, run

BOOT = Path(__file__).parent / "files/boot.sh"
INIT = "sandbox-init"
_START_WAIT, _STOP_WAIT, _INIT_WAIT = 60.0, 20.0, 10.0


class Guest:
    """One root tree, run in namespaces of its own. `state` is the folder of its pid file."""

    def __init__(
        self, root: Path, state: Path, network: Network, services: tuple[Service, ...]
    ) -> None:
        self.root, self.state, self.network, self.services = root, state, network, services

    def pid(self) -> Optional[int]:
        """The init process as this machine numbers it, if it is alive and really ours."""
        try:
            saved = json.loads((self.state / "init.json").read_text())
        except (OSError, ValueError):
            return None
        # A pid alone may by now be somebody else's process.
        return saved["pid"] if _started(saved["pid"]) == saved["started"] else None

    def boot(self) -> None:
        """Create the namespaces and the init process; no service runs yet."""
        if self.pid():
            return
        self.state.mkdir(parents=True, exist_ok=True)
        self.network.create()
        pid = _only_child(self._launch(), self.state / "boot.log")
        saved = {"pid": pid, "started": _started(pid)}
        (self.state / "init.json").write_text(json.dumps(saved))

    def start(self) -> None:
        """Boot, and start every service that does not run."""
        self.boot()
        running = self.running()
        waiting = [service for service in self.services if not running[service.name]]
        with ThreadPoolExecutor(max(1, len(waiting))) as pool:
            list(pool.map(self.start_service, waiting))

    def stop(self) -> None:
        """Stop the services properly (the database first of all), then everything."""
        if not self.pid():
            return
        with ThreadPoolExecutor(len(self.services)) as pool:
            list(pool.map(self.stop_service, self.services))
        self.kill()

    def kill(self) -> None:
        """End the init process; the kernel ends every other process of the host with it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is None:
                break
            os.kill(pid, number)
            _until(lambda: self.pid() is None, _INIT_WAIT)
        if self.pid():
            raise SandboxError(f"the host's init process {self.pid()} cannot be killed")
        (self.state / "init.json").unlink(missing_ok=True)

    def start_service(self, service: Service) -> None:
        """Start one service by its init script and wait until it answers."""
        self.run(["/etc/init.d/" + service.init, "start"], check=False, detach=True)
        if not _until(lambda: self._answers(service), _START_WAIT):
            raise SandboxError(f"{service.name} does not start in {self.network.name}")

    def stop_service(self, service: Service) -> None:
        """Stop one service by its init script and wait until its processes are gone."""
        self.run(["/etc/init.d/" + service.init, "stop"], check=False, detach=True)
        if service.name != "sshd":  # its sessions share the name and may stay
            _until(lambda: not self.running()[service.name], _STOP_WAIT)

    def running(self) -> dict[str, bool]:
        """Which of the services have a process."""
        if not self.pid():
            return {service.name: False for service in self.services}
        names = set(self.run(["ps", "-eo", "comm="]).stdout.split())
        return {service.name: service.process in names for service in self.services}

    def run(
        self,
        argv: Sequence[str],
        check: bool = True,
        stdin: Optional[bytes] = None,
        user: Optional[str] = None,
        detach: bool = False,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the host, as root or as `user`, and give its output back."""
        command = self.enter(argv, user)
        if not detach:
            return run(command, check=check, stdin=stdin, title=" ".join(argv))
        # A daemon keeps its output open: a pipe to us would never end.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, "", "")

    def enter(self, argv: Sequence[str], user: Optional[str] = None) -> list[str]:
        """The command line that runs `argv` inside."""
        pid = self.pid()
        if pid is None:
            raise SandboxError(f"the host {self.network.name} is not up")
        spaces = ["-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        home = "/root" if user in (None, "root") else f"/home/{user}"
        env = [f"PATH={PATH}", f"HOME={home}", "LANG=C.UTF-8", f"TERM={os.environ.get('TERM', '')}"]
        become = ["runuser", "-u", user, "--"] if user not in (None, "root") else []
        return ["nsenter", "-t", str(pid), *spaces, "env", "-i", *env, *become, *argv]

    def _launch(self) -> int:
        """Start `unshare` in a session of its own; its pid."""
        pid_file = self.state / "unshare.pid"
        pid_file.unlink(missing_ok=True)
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGTERM"]
        netns = f"--net=/run/netns/{self.network.namespace}"
        boot = ["bash", str(BOOT), str(self.root), self.network.name]
        script = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'
        argv = ["nsenter", netns, "unshare", *spaces, *boot]
        with (self.state / "boot.log").open("wb") as log:
            subprocess.run(
                ["setsid", "--fork", "/bin/sh", "-c", script, str(pid_file), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": PATH, "LANG": "C.UTF-8"},
                cwd="/",
                check=True,
            )
        if not _until(pid_file.exists, 5.0):
            raise SandboxError("the host's first process did not start")
        return int(pid_file.read_text())

    def _answers(self, service: Service) -> bool:
        alive = self.running()[service.name]
        return alive and self.run(service.ready, check=False).returncode == 0


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _only_child(parent: int, log: Path) -> int:
    """The child of `unshare`, once it has become the host's init."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    for _ in range(100):
        try:
            for word in children.read_text().split():
                if Path(f"/proc/{word}/comm").read_text().strip() == INIT:
                    return int(word)
        except OSError:
            break
        time.sleep(0.05)
    lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
    raise SandboxError(f"the host does not boot: {lines[-1]}")


def _started(pid: int) -> Optional[str]:
    """When a process started, in clock ticks; None if it is gone (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
