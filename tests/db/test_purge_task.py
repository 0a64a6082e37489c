"""``logs.purge`` as typed, on both servers: its plan and its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from matops.errors import UsageError
from matops.tasks.logs_purge import parse
from tests.db import docroot
from tests.db import purge_kit as kit
from tests.db.servers import Server
from tests.db.test_tasks import SETTINGS, Desk

SCHEMA = "purging5"
_MATOMO = """
CREATE TABLE {p}option (option_name VARCHAR(191) NOT NULL PRIMARY KEY,
 option_value LONGTEXT NOT NULL, autoload TINYINT NOT NULL DEFAULT 1) DEFAULT CHARSET=utf8mb4;
CREATE TABLE {p}archive_invalidations (
 idinvalidation BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL,
 idsite INT UNSIGNED NOT NULL, date1 DATE NOT NULL,
 date2 DATE NOT NULL, period TINYINT UNSIGNED NOT NULL, status TINYINT UNSIGNED DEFAULT 0,
 KEY index_idsite_dates_period_name (idsite, date1, period));
INSERT INTO {p}archive_invalidations (name, idsite, date1, date2, period) VALUES
 ('done', 1, '2026-01-04', '2026-01-04', 1), ('done', 1, '2026-01-01', '2026-12-31', 4),
 ('done', 2, '2026-03-04', '2026-03-04', 1);
INSERT INTO {p}option VALUES ('123_report_to_invalidate_3_2026-01-05_99', '1', 0),
 ('report_to_invalidate_3_2025-01-05', '1', 0)
"""
_FLAGS: dict[str, Any] = {
    "dates": "", "older_than": "", "idsite": "", "force": False, "actions": False, "grace": "10m",
    "until": "", "for_": "", "workers": "2", "replicas": "", "max_lag": "10s", "max_load": "",
    "max_history": "100000", "dry_run": False, "take_over": False,
}  # fmt: skip
DATES = ("--dates", "2026-01-03,2026-01-07")


@pytest.fixture(scope="module")
def desk(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    kit.make(server, SCHEMA, extra=_MATOMO)
    kit.fill(server, SCHEMA)
    folder = tmp_path_factory.mktemp(f"purge-{server.flavour}")
    root = docroot.make(folder, server.account("matomo", SCHEMA))
    settings = folder / "matops.yaml"
    text = SETTINGS.format(docroot=root, state=f"{folder}/state")
    settings.write_text(text)
    yield Desk(server, settings)
    server.sql(f"DROP DATABASE {SCHEMA}")


def test_a_plan_and_refusals_change_nothing(desk: Desk) -> None:
    before = kit.picture(desk.server, SCHEMA)
    text = desk.type("logs.purge", *DATES, "--dry-run", "--force")
    assert "2026-01-07 itself is kept" in text and "2026-01-06" in text and "log_hsr_event" in text
    assert "piwik_log_media has no index on idvisit: it is gone through once" in text
    assert "visits of deleted sites stay" in text and "site 9" in text
    text = desk.type("logs.purge", *DATES, "--dry-run", "--force", "--json")  # progress behind it
    found = json.JSONDecoder().raw_decode(text)[0]["counts"]
    assert found["visits"] == sum(found["days"].values()) > 0
    assert found["pending"] == ["site 1: 2026-01-04", "site 3: 2026-01-05"]
    text = desk.type("logs.purge", *DATES, "--dry-run", code=3)
    assert "the reports of 2 days wait to be built anew" in text and "--force" in text
    text = desk.type("logs.purge", *DATES, "--idsite", "1,77", "--dry-run", code=2)
    assert "site 77 does not exist; there are: 1, 2, 3" in text
    assert "--dates FROM,TO is missing" in desk.type("logs.purge", "--dry-run", code=2)
    assert kit.picture(desk.server, SCHEMA) == before


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"dates": "2026-01-07,2026-01-03"}, "is not before"),
        ({"dates": "2026-01-03,2099-01-01"}, "in the future"),
        ({"dates": "2026-01-03"}, "is not FROM,TO"),
        ({"older_than": "3h"}, "less than a day"),
        ({"older_than": "30"}, "not a duration"),
        ({"older_than": "30d", "dates": "2026-01-03,2026-01-04"}, "give one of them"),
        ({"idsite": "1,x"}, "not a whole number"),
        ({"idsite": ","}, "names no site"),
        ({"max_load": "many"}, "--max-load"),
        ({"workers": "9"}, "from 1 to 4"),
        ({"replicas": "db2:x"}, "HOST:PORT"),
    ],
)
def test_bad_input_is_one_line(typed: dict[str, str], said: str) -> None:
    flags: dict[str, Any] = {**_FLAGS, **typed}
    if "dates" not in typed and "older_than" not in typed:
        flags["dates"] = DATES[1]
    with pytest.raises(UsageError, match=said):
        parse(flags)


def test_the_job_gets_the_same_command() -> None:
    asked = parse({**_FLAGS, "dates": DATES[1], "idsite": "2,1", "actions": True, "force": True})
    assert asked.sites == (2, 1) and asked.end.isoformat() == "2026-01-07"
    words = " ".join(asked.words)
    assert words.startswith("logs.purge --dates 2026-01-03,2026-01-07 --actions --grace 10m")
    assert "--idsite 2,1" in words and words.endswith("--force") and "--workers 2" in words
    alone = parse({**_FLAGS, "actions": True})
    assert not alone.visits and "--dates" not in alone.words
