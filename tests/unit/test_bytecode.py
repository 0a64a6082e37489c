"""The agent's twin with bytecode: made once, used, never in the way."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from matops.host import agent as host_agent
from matops.host import bytecode

_MODULE = "def main():\n    print(__file__)\n"


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """A small one that prints where its module comes from."""
    path = tmp_path / "matops-0123.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", host_agent._MAIN)
        archive.writestr(bytecode.NAME, Path(bytecode.__file__).read_bytes())
        archive.writestr("matops/__init__.py", "")
        archive.writestr("matops/__main__.py", _MODULE)
        archive.writestr("matops/later.py", "match = 1 +")  # nobody imports it here
    return path


def run(path: Path, *words: str) -> str:
    """What it prints; nothing on stderr."""
    done = subprocess.run([sys.executable, str(path), *words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.split()[0]


def test_a_task_makes_it_and_all_use_it(agent: Path) -> None:
    twin = Path(bytecode.twin(str(agent)))
    assert run(agent, "call").startswith(f"{agent}/") and not twin.exists()
    assert run(agent, "prep") == f"{twin}/matops/__main__.pyc"
    assert twin.stat().st_mode & 0o777 == 0o755
    before = twin.stat().st_mtime_ns
    assert run(agent, "call") == f"{twin}/matops/__main__.pyc"
    assert run(twin, "prep") == f"{twin}/matops/__main__.pyc"
    assert twin.stat().st_mtime_ns == before
    assert sorted(path.name for path in agent.parent.iterdir()) == [twin.name, agent.name]
    assert bytecode.original(str(twin)) == bytecode.original(str(agent)) == str(agent)


def test_a_damaged_one_and_no_room_are_not_in_the_way(agent: Path) -> None:
    twin = Path(bytecode.twin(str(agent)))
    twin.write_bytes(b"PK damaged")
    assert run(agent, "prep").startswith(f"{agent}/")
    twin.unlink()
    twin.mkdir()  # so that it cannot come to be
    assert run(agent, "prep").startswith(f"{agent}/")
    assert sorted(path.name for path in agent.parent.iterdir()) == [twin.name, agent.name]


def test_what_another_python_wrote_is_compiled_anew(agent: Path) -> None:
    run(agent, "prep")
    twin = Path(bytecode.twin(str(agent)))
    with zipfile.ZipFile(twin) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(twin, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, b"\0\0\0\0" + data[4:] if name.endswith("c") else data)
    assert run(agent, "call") == f"{twin}/matops/__main__.py"
