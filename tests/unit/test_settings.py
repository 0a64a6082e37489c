"""Settings: every mistake is one line, and the example is the truth."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from matops import settings
from matops.errors import UsageError
from matops.settings import FIELDS, ROOT, Settings

EXAMPLE = (ROOT / "config" / "matops.example.yaml").read_text()


def test_the_example_documents_every_setting_with_its_default() -> None:
    data = yaml.safe_load(EXAMPLE)
    assert set(data) == set(FIELDS)
    assert settings.parse(data) == Settings()


def test_a_host_section_lies_over_the_rest() -> None:
    data = {"docroot": "/a", "window": "2d", "hosts": {"web1": {"docroot": "/b"}}}
    assert settings.parse(data, "web1").docroot == "/b"
    assert settings.parse(data, "web1").window == 172800
    assert settings.parse(data, "web2").docroot == "/a"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"docrot": "/x"}, "unknown setting 'docrot'; did you mean 'docroot'?"),
        ({"zzz": 1}, "see matops.example.yaml"),
        ({"hosts": {"web1": {"widow": "3d"}}}, "'hosts.web1.widow'; did you mean 'window'?"),
        ({"window": 3}, "write '3s' or '3d'"),
        ({"sudo": "yes"}, "wants true or false, not 'yes'"),
        ({"disk_factor": "2"}, "wants a number"),
        ({"disk_factor": -1}, "wants a number from 0 up, not -1"),
        ({"disk_factor": float("nan")}, "wants a number from 0 up, not nan"),
        ({"swap_factor": float("inf")}, "wants a number from 0 up, not inf"),
        ({"command_timeout": "0s"}, "wants 1s or more, not '0s'"),
        ({"connect_timeout": "0.2s"}, "wants 1s or more"),
        ({"lock_stale_after": "0m"}, "wants 1s or more"),
        ({"release": 5.1}, "was read as the number 5.1; write it in quotes"),
        ({"servers": {"a": 1}}, "wants a list of texts, not a section"),
        ({"release_max_size": "big"}, "is not a size"),
        ({"docroot": ["/x"]}, "wants a text, not a list"),
        (["a"], "wants 'key: value' lines"),
        ({"hosts": ["web1"]}, "wants a section per host"),
    ],
)
def test_mistakes(data: object, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.parse(data, "web1")
    assert words in caught.value.line()
    assert caught.value.code == 2


def test_a_file_that_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "matops.yaml"
    path.write_bytes("docroot: /srv/münchen".encode("latin-1"))
    monkeypatch.setenv("MATOPS_CONFIG", str(path))
    settings._read.cache_clear()
    try:
        with pytest.raises(UsageError, match="is not UTF-8 text") as caught:
            settings.load()
        assert "\n" not in caught.value.line()
        path.write_text("docroot: /srv/münchen", encoding="utf-8")
        assert settings.load().docroot == "/srv/münchen"
    finally:
        settings._read.cache_clear()
