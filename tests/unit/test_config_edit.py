"""A change by somebody else between our reading and our rename is noticed, and is not lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matops.errors import MatopsError, Refused
from matops.matomo import config_edit, config_file

TEXT = "; <?php exit; ?>\n[General]\nx = 1\n"
EDITS = [["General", "maintenance_mode", "1"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A docroot with a configuration."""
    path = tmp_path / "www" / "config" / "config.ini.php"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def change(config: Path, keep: str = "") -> dict[str, Any]:
    """The change, without a PHP to ask."""
    return config_edit.change(str(config.parent.parent), EDITS, keep, php="/nonexistent")


def test_a_change_meanwhile_is_kept(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = config_file.exchange
    calls: list[str] = []

    def disturbed(path: str, *rest: Any) -> Any:
        if not calls:
            config.write_text(TEXT + "y = 2\n")
        calls.append(path)
        return exchange(path, *rest)

    monkeypatch.setattr(config_file, "exchange", disturbed)
    done = change(config, str(tmp_path / "keep"))
    assert len(calls) == 2
    assert config.read_text() == TEXT + "y = 2\nmaintenance_mode = 1\n"
    assert Path(done["kept"]).read_text() == TEXT + "y = 2\n"
    assert sorted(p.name for p in config.parent.iterdir()) == ["config.ini.php"]


def test_a_writer_that_never_ends_is_told_of(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "exchange", lambda *unused: None)
    with pytest.raises(MatopsError, match="again and again"):
        change(config)
    assert config.read_text() == TEXT


def test_no_copy_inside_the_docroot(config: Path) -> None:
    with pytest.raises(Refused, match="inside the docroot"):
        change(config, str(config.parent / "old"))
    assert config.read_text() == TEXT
