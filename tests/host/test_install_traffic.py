"""The real release installed, and taken back, while hits of every kind arrive."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import Fab
from tests.e2e.traffic import Traffic, read
from tests.host import queue_kit as kit
from tests.host.release_kit import sha256
from tests.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

_VERSIONS = "select * from matomo.matomo_option where option_name like 'version\\_%' order by 1"


def test_no_hit_meets_a_half_copied_tree(pristine: Sandbox, fab: Fab, tmp_path: Path) -> None:
    zip_ = pristine.release_zip
    staged = fab("release.stage", "--release", str(zip_), "--sha256", sha256(zip_.read_bytes()))
    assert staged.code == 0, staged.all
    kit.install(pristine)
    kit.settings(pristine, processDuringTrackingRequest=0)
    config = f"{pristine.docroot}/config/config.ini.php"
    pristine.exec("sed", "-i", r"s/^\[General\]/[General]\nmaintenance_mode = 1/", config)
    old, new = pristine.installed_version, pristine.release_version
    versions = pristine.sql(_VERSIONS)
    tree = ["sh", "-c", "cd $0; find . -type f ! -path './tmp/*' -exec sha256sum {} + | sort"]
    before = pristine.exec(*tree, pristine.docroot).stdout

    refused = fab("release.install")
    assert refused.code == 3 and "was not confirmed" in refused.err
    assert pristine.installed_version == old
    log = tmp_path / "traffic.jsonl"
    with Traffic(pristine.address, host=kit.HOST, log=log, rate=20):
        time.sleep(1)
        done = fab("release.install", "--yes")
        assert done.code == 0, done.all
        time.sleep(1)
        assert pristine.installed_version == new and pristine.sql(_VERSIONS) == versions
        back = fab("release.back", "--yes")
        assert back.code == 0, back.all
        time.sleep(1)
    answers = read(log)
    hits = [each for each in answers if each.kind != "ui"]
    assert len(hits) > 60 and [each for each in hits if not each.ok] == []
    assert kit.depth(pristine) >= len(hits)
    assert f"none of {old} left" in done.out and "(apache2handler)" in done.out
    assert pristine.exec(*tree, pristine.docroot).stdout == before
