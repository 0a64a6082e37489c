"""matops as one zip application, run on the host by the host's own Python.

Code goes to the data: what works on a database or on logs runs where they are. The zip holds
matops, ``sql/``, ``tasks.py`` and the pure-Python packages of this very environment, with their
``.dist-info`` (invoke reads its own version there). It is named by its content, uploaded once,
and never changed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib
import io
import json
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from matops.errors import ConnectionLost, MatopsError, OutcomeUnknown
from matops.host import bytecode, files
from matops.host.shell import CommandFailed, Host

PACKAGES = ("invoke", "PyMySQL", "PyYAML", "sqlparse", "tabulate", "tqdm")
"""Fabric and paramiko are not in it: the agent never opens an SSH connection."""

_ROOT = Path(__file__).parent.parent.parent
DEFAULT_PARENT = "/var/lib/matops"
"""Ours alone; a folder that the operator named keeps its mode."""

_MISSING = 97  # no agent there yet
_NO_PYTHON = 96

_MAIN = b"""import sys
import matops_bytecode
matops_bytecode.use(sys.argv[0], make=sys.argv[1:] != ["call"])
from matops.__main__ import main
main()
"""


@functools.cache
def build() -> bytes:
    """The zip application; the same bytes for the same content, whenever it is built."""
    if _ROOT.is_file():  # we are the agent ourselves
        return Path(bytecode.original(str(_ROOT))).read_bytes()
    buffer = io.BytesIO()
    # Not compressed: it is uploaded once, but built and imported for every task.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(_content()):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, data)
    return buffer.getvalue()


@functools.cache
def _digest() -> str:
    # Every call asks for it, and the zip has some megabytes.
    return hashlib.sha256(build()).hexdigest()[:16]


def _content() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN
    yield bytecode.NAME, Path(bytecode.__file__).read_bytes()
    yield "tasks.py", (_ROOT / "tasks.py").read_bytes()
    for folder, pattern in (("matops", "*.py"), ("sql", "*.sql")):
        for path in (_ROOT / folder).rglob(pattern):
            yield path.relative_to(_ROOT).as_posix(), path.read_bytes()
    import importlib.metadata  # here: it loads a mail library, and calls on the host need none

    for package in PACKAGES:
        for file in importlib.metadata.distribution(package).files or []:
            if _wanted(file.as_posix()):
                yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _wanted(name: str) -> bool:
    if name.startswith("..") or "__pycache__" in name or name.endswith((".so", ".pyd", ".pyi")):
        return False
    if ".dist-info/" in name:
        return name.endswith(("METADATA", "entry_points.txt"))
    # invoke carries its YAML twice; the copy for Python 2 is dead weight.
    return not name.startswith("invoke/vendor/yaml2")


class Agent:
    """The agent on one host, kept by ``owner`` (None = who logged in) in ``folder``."""

    def __init__(self, host: Host, folder: str, owner: Optional[str]) -> None:
        self._host = host
        self._folder = folder
        self._owner = owner

    @property
    def path(self) -> str:
        """Where this very version of the agent lies on the host."""
        return f"{self._folder}/matops-{_digest()}.pyz"

    def ensure(self) -> str:
        """Uploads the agent if it is not there; its path. One or two round trips."""
        path = self.path
        if self._host.run('test -f "$1"', path, check=False).code != 0:
            self._upload(path)
        return path

    def _upload(self, path: str) -> None:
        parent = shlex.quote(str(Path(self._folder).parent))
        folder = shlex.quote(self._folder)
        # Any user of the host may read it (it holds no secret); only its owner may change it.
        ours = "true" if parent == DEFAULT_PARENT else "false"
        self._host.run(
            f"[ -d {parent} ] && ! {ours} || {{ mkdir -p {parent} && chmod 0711 {parent}; }}; "
            f"mkdir -p {folder} && chmod 0755 {folder}",
            user=self._owner,
            what="make the agent's folder",
        )
        files.write(self._host, path, build(), user=self._owner, mode="0755")
        # Old versions go once they are a month old: a running job may still hold a younger one.
        self._host.run(
            f"find {folder} -name 'matops-*.pyz' ! -path \"$1\" -mtime +30 -delete",
            path, user=self._owner, check=False,
        )  # fmt: skip

    def call(
        self,
        function: str,
        payload: dict[str, Any],
        *,
        user: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Any:
        """Calls ``package.module:function(**payload)`` there; its JSON-able result.

        One round trip once the agent is there. Errors of matops raised there are raised here,
        with their exit codes. On the local machine the function is simply called.
        """
        if self._host.is_local and user is None:
            return _resolve(function)(**payload)
        request = json.dumps({"function": function, "payload": payload}).encode()
        path = self.path
        script = (
            f'[ -f "$1" ] || exit {_MISSING}; '
            f"command -v python3 >/dev/null || exit {_NO_PYTHON}; "
            'exec python3 "$1" call'
        )
        for attempt in (1, 2):
            result = self._host.run(
                script, path, user=user, stdin=request, timeout=timeout,
                cap=8 << 20, check=False, what=function,
            )  # fmt: skip
            if result.code == _MISSING and attempt == 1:
                self._upload(path)
                continue
            break
        if result.code == _MISSING:
            raise MatopsError(
                f"{user or 'this account'} cannot reach {self._folder}",
                host=self._host.name,
                next=f"chmod o+x {Path(self._folder).parent}, and the folders above it",
            )
        if result.code == _NO_PYTHON:
            raise MatopsError(
                "the host has no python3, which the agent needs (3.9 or newer)",
                host=self._host.name,
                next="install python3 there; nothing else is needed",
            )
        if result.code != 0:
            raise CommandFailed(f"agent call {function}", result).on(self._host.name)
        return answer_of(result.out, self._host.name)


def answer_of(out: bytes, host: str) -> Any:
    """The result in what ``serve`` printed; raises the error that it holds instead."""
    try:
        answer = json.loads(out)
    except ValueError:
        raise OutcomeUnknown("the agent's answer did not arrive whole", host=host) from None
    if "error" in answer:
        raise _rebuilt(answer["error"]).on(host)
    return answer["result"]


def _rebuilt(data: dict[str, Any]) -> MatopsError:
    kinds = {kind.__name__: kind for kind in _kinds(MatopsError)}
    kind = kinds.get(data["kind"], MatopsError)
    if issubclass(kind, ConnectionLost):
        kind = OutcomeUnknown  # there the link to *its* peer was lost; ours stands
    error = MatopsError.__new__(kind)
    MatopsError.__init__(
        error, data["what"], host=data["host"], state=data["state"], next=data["next"]
    )
    error.code = data["code"]
    return error


def _kinds(base: type[MatopsError]) -> Iterator[type[MatopsError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _resolve(function: str) -> Any:
    module, _, name = function.partition(":")
    if not module.startswith("matops."):
        raise ValueError(f"not a function of matops: {function}")
    return getattr(importlib.import_module(module), name)


def serve(request: bytes) -> bytes:
    """The far end of ``call``: runs the function, answers in JSON, errors included."""
    asked = json.loads(request)
    try:
        answer: dict[str, Any] = {"result": _resolve(asked["function"])(**asked["payload"])}
    except MatopsError as error:
        answer = {
            "error": {
                "kind": type(error).__name__,
                "code": error.code,
                "what": error.what,
                "host": error.host,
                "state": error.state,
                "next": error.next,
            }
        }
    return json.dumps(answer, default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)
