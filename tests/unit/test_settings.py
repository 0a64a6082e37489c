"""Settings: every mistake is one line, and the example is the truth."""

from __future__ import annotations

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
