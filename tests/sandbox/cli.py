"""The command line: `python3 -m tests.sandbox CMD`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Optional

from .api import Sandbox
from .clean import clean
from .errors import SandboxError
from .flavour import ALL_IN_ONE
from .home import find_home
from .image import ensure_image
from .network import DEFAULT_NAME
from .proc import clean_env
from .say import say
from .tools import install, require_root, require_tools

Command = Callable[[argparse.Namespace], int]
_PATHS = ("ssh-config", "release-zip", "known-hosts", "root", "versions", "identity", "token")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command; a failure is one line and exit code 1."""
    args = _parser().parse_args(argv)
    try:
        command: Command = args.command
        return command(args)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("sandbox: interrupted; the next `up` goes on", file=sys.stderr)
    except OSError as error:
        print(f"sandbox: {error}", file=sys.stderr)
    return 1


def _up(args: argparse.Namespace) -> int:
    box = Sandbox(args.name, args.address).up()
    say(f"{box.name} is up at {box.address}: ssh -F {box.ssh_config} {box.name}")
    return 0


def _down(args: argparse.Namespace) -> int:
    Sandbox(args.name).down()
    return 0


def _reset(args: argparse.Namespace) -> int:
    Sandbox(args.name).reset()
    return 0


def _destroy(args: argparse.Namespace) -> int:
    Sandbox(args.name).destroy()
    return 0


def _status(args: argparse.Namespace) -> int:
    status = Sandbox(args.name).status()
    for key, value in status.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {'up' if on else 'down'}" for name, on in value.items())
        print(f"{key}: {value}")
    return 0 if status["state"] == "up" else 1


def _ssh(args: argparse.Namespace) -> int:
    box = Sandbox(args.name)
    box.require()
    alias = box.name if args.user == "ops" else f"{box.name}-{args.user}"
    return _replace(["ssh", "-F", str(box.ssh_config), alias, *_words(args)])


def _exec(args: argparse.Namespace) -> int:
    return _replace(Sandbox(args.name).guest.enter(_words(args) or ["bash", "-l"]))


def _db(args: argparse.Namespace) -> int:
    client = ["mariadb", "--table", *(["--execute", args.sql] if args.sql else [])]
    return _replace(Sandbox(args.name).guest.enter(client))


def _path(args: argparse.Namespace) -> int:
    box = Sandbox(args.name)
    found = {
        "ssh-config": lambda: box.ssh_config,
        "release-zip": lambda: box.release_zip,
        "known-hosts": lambda: box.known_hosts,
        "root": lambda: box.root,
        "versions": lambda: box.home.versions,
        "identity": lambda: box.identity,
        "token": lambda: box.host.folder / "token",
    }
    print(found[args.what]())
    return 0


def _build(args: argparse.Namespace) -> int:
    require_root()
    home = find_home()
    require_tools(home)
    ensure_image(home, ALL_IN_ONE, args.refresh)
    return 0


def _install(args: argparse.Namespace) -> int:
    require_root()
    install(find_home(), args.packages)
    return 0


def _clean(args: argparse.Namespace) -> int:
    require_root()
    clean(find_home(), args.downloads)
    return 0


def _words(args: argparse.Namespace) -> list[str]:
    words: list[str] = args.words
    return words[1:] if words[:1] == ["--"] else words


def _replace(argv: list[str]) -> int:
    sys.stdout.flush()
    os.execvpe(argv[0], argv, clean_env({"TERM": os.environ.get("TERM", "dumb")}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="CMD")

    def add(name: str, run: Command, help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_)
        sub.set_defaults(command=run)
        sub.add_argument("--name", default=DEFAULT_NAME, help="host (default: %(default)s)")
        return sub

    up = add("up", _up, "build what is missing and start the host")
    up.add_argument("--address", help="its address (default: derived from the name)")
    add("down", _down, "stop it, keep its files")
    add("status", _status, "what runs")
    add("reset", _reset, "back to the pristine image")
    ssh = add("ssh", _ssh, "log in, or run CMD over SSH")
    ssh.add_argument("--user", default="ops", choices=("ops", "ops2", "nosudo", "root"))
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    inside = add("exec", _exec, "run CMD inside as root, without SSH")
    inside.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    add("db", _db, "run SQL as MariaDB's root").add_argument("sql", nargs="?", metavar="SQL")
    add("destroy", _destroy, "remove the host")
    build = add("build", _build, "only the image and the release zip")
    build.add_argument("--refresh", action="store_true", help="make the release zip anew")
    cleaner = add("clean", _clean, "remove all hosts and images")
    cleaner.add_argument("--downloads", action="store_true", help="the downloads, too")
    packages = add("install", _install, "install Debian packages on this machine")
    packages.add_argument("packages", nargs="+", metavar="PACKAGE")
    add("path", _path, "print where something is").add_argument("what", choices=_PATHS)
    return parser
