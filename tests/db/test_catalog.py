"""Sizes of all tables, for each account."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from matops.mysql import catalog
from matops.mysql import server as servers
from matops.mysql.families import family, group
from matops.mysql.session import Session
from tests.db import data
from tests.db.servers import Server


def test_families_know_the_prefix() -> None:
    assert family("piwik_log_visit", "piwik_") == "log"
    assert family("archive_blob_2026_01") == "archive_blob 2026-01"
    assert family("piwik_archive_numeric_2025_12", "piwik_") == "archive_numeric 2025-12"
    assert family("piwik_archive_blob_2026_1", "piwik_") == "other"
    assert family("piwik_site", "piwik_") == "other"
    assert family("wp_posts", "piwik_") == "not Matomo's"
    assert group("archive_blob 2026-01") == "archive_blob" and group("log") == "log"


@pytest.mark.parametrize("kind", ["root", "managed", "matomo"])
def test_sizes(server: Server, kind: str) -> None:
    schema = "sizes_%"
    server.sql(f"CREATE DATABASE `{schema}`")
    server.sql("CREATE DATABASE sizes_xx; CREATE TABLE sizes_xx.log_visit (a INT)")
    try:
        data.make(server, "archive_blob", "p_archive_blob_2026_01", 20, "scattered", schema=schema)
        server.sql("CREATE TABLE p_log_visit (id INT PRIMARY KEY); CREATE TABLE alien (id INT)"
                   " ENGINE=MyISAM; CREATE VIEW p_view AS SELECT 1 AS one", schema)  # fmt: skip
        data.wait_purged(server)
        began = time.time()
        address = server.account(kind, "sizes\\_\\%") if kind != "root" else server.address()
        with Session(address.__class__(**{**vars(address), "schema": schema})) as session:
            facts = servers.look(session)
            found = catalog.tables(session, facts, schema, "p_")
            found, left = catalog.with_estimates(session, facts, schema, found, least=2**20)
        by_name = {table.name: table for table in found}
        assert set(by_name) == {"p_archive_blob_2026_01", "p_log_visit", "alien", "matops_seed"}
        blob = by_name["p_archive_blob_2026_01"]
        assert found[0] is blob and left == 0
        assert blob.file_known  # by its own lists, or because we may read the data directory
        real = (server.datadir / "sizes_@0025" / f"{blob.name}.ibd").stat().st_size
        assert blob.file_bytes == real
        assert blob.estimate is not None and blob.estimate.method in ("pages", "rows")
        assert blob.estimate.share > 0.25
        assert blob.rebuilt is not None and began - 120 < blob.rebuilt < time.time() + 2
        assert by_name["p_log_visit"].estimate is None
        sums = {one.name: one for one in catalog.groups(found)}
        assert set(sums) == {"archive_blob", "log", "not Matomo's"}
        assert sums["archive_blob"].reclaim_bytes == blob.reclaim_bytes
        assert catalog.total("all", found).tables == 4
    finally:
        server.sql(f"DROP DATABASE `{schema}`; DROP DATABASE sizes_xx")


def test_without_process_and_files_the_size_is_what_statistics_say(server: Server) -> None:
    data.make(server, "archive_blob", "p_archive_blob_2026_03", 12)
    server.sql("ANALYZE TABLE p_archive_blob_2026_03", "matomo")
    with Session(server.account("matomo")) as session:
        facts = servers.look(session)
        facts = replace(facts, variables={**facts.variables, "hostname": "elsewhere"})
        (blob,) = (t for t in catalog.tables(session, facts, "matomo") if "2026_03" in t.name)
        looked, _ = catalog.with_estimates(session, facts, "matomo", [blob], least=2**20)
    real = data.file_bytes(server, blob.name)
    assert not blob.file_known and 0.7 < blob.file_bytes / real < 1.2
    assert looked[0].estimate is not None and looked[0].estimate.method == "rows"
    server.sql("DROP TABLE p_archive_blob_2026_03", "matomo")


def test_no_time_means_no_estimates_and_says_so(server: Server) -> None:
    data.make(server, "archive_blob", "p_archive_blob_2026_02", 12)
    with Session(server.address(schema="matomo")) as session:
        facts = servers.look(session)
        found = catalog.tables(session, facts, "matomo")
        looked, left = catalog.with_estimates(
            session, facts, "matomo", found, least=2**20, budget=-1
        )
    assert left >= 1 and all(table.estimate is None for table in looked)
    server.sql("DROP TABLE p_archive_blob_2026_02", "matomo")
