"""The editor of config.ini.php: every byte but the value stays, and the way back is exact."""

from __future__ import annotations

import pytest

from matops.matomo import ini_edit

HEAD = "; <?php exit; ?> DO NOT REMOVE THIS LINE\n; by hand\n"
FULL = (
    HEAD + '[database]\npassword = "a;b&quot;c" ; kept\n\n[General]\n; why\n'
    'trusted_hosts[] = "a"\ntrusted_hosts[] = "b"\n  maintenance_mode = "0"  ; off\n'
    'pem = "-----\nkey = 1\n-----"\n\n[Odd]\nx = 1\n[Tracker]\nrecord_statistics = 1\n'
)


def put(text: str, *edits: tuple[str, str, object]) -> str:
    """The text after edits by value."""
    return ini_edit.apply(text, [(s, k, v, False) for s, k, v in edits])  # type: ignore[misc]


def test_one_value_changes_and_nothing_else() -> None:
    after = put(FULL, ("General", "maintenance_mode", "1"), ("Tracker", "record_statistics", "0"))
    assert after == FULL.replace('mode = "0"', 'mode = "1"').replace("tistics = 1", "tistics = 0")
    assert put(after, ("General", "maintenance_mode", "1")) == after, "twice is once"


TEXTS = [
    FULL,
    HEAD,
    HEAD + "[General]\nx = 1\n",
    HEAD + "[General]\nx = 1\n\n",
    HEAD + "[General]\nx = 1\n\n; the end",
    HEAD + "[General]\nx = 1",
    HEAD + "[General]\nx = 1\n\n[Other]\ny = 2\n",
    HEAD + "[New]\na = 1\n[General]\nx = 1\n",
    (HEAD + "[General]\nx = 1\n\n").replace("\n", "\r\n"),
    HEAD + "[General]\nx = 1\n[Other]\n[General] ; again\nx = 2\n",
    HEAD + "[General] ; nothing here\n\n[Z]\nz = 1\n",
    HEAD + "[General] x = 1\n",
    HEAD + "[General]\nx = '\udcff'\n",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("value", ["1", 'q"$x&lt;;\\', ["a", "b c"]])
def test_added_and_removed_leaves_the_file_as_it_was(text: str, value: object) -> None:
    for section in ("General", "New"):
        after = put(text, (section, "k", value))
        assert after != text
        assert ini_edit.read(after).get(section, "k") == value
        assert put(after, (section, "k", None)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_the_reader_keeps_every_byte(text: str) -> None:
    assert ini_edit.read(text).text == text


def test_what_counts_of_doubles_is_changed_and_put_back_as_written() -> None:
    text = HEAD + "[A]\nk = 1\n[B]\n[A]\nk = 2\nk = no\nl = 1\nl[] = 2\nl[] = '3'\n"
    found = ini_edit.read(text)
    assert (found.get("A", "k"), found.raw("A", "k")) == ("", "no")
    assert found.get("A", "l") == ["2", "3"]
    after = put(text, ("A", "k", "7"), ("A", "l", "x"))
    assert after == HEAD + '[A]\nk = 1\n[B]\n[A]\nk = 2\nk = 7\nl = "x"\n'
    back = ini_edit.apply(after, [("A", "k", "no", True)])
    assert back == after.replace("k = 7", "k = no")


def test_a_line_that_is_added_follows_the_last_setting_of_its_section() -> None:
    after = put(HEAD + "[A]\nx = 1\n\n; about B\n[B]\ny = 1\n", ("A", "k", "0"))
    assert after == HEAD + "[A]\nx = 1\nk = 0\n\n; about B\n[B]\ny = 1\n"
    assert put(HEAD + "[A]\nx = 1", ("A", "k", "0")) == HEAD + "[A]\nx = 1\nk = 0"


@pytest.mark.parametrize(
    ("raw", "value"),
    [('"a&amp;b"', "a&b"), ('"&amp;amp;lt;"', "&lt;"), ("'x\"y'", 'x"y'), ("On", "1"),
     ("null", ""), ('"it&#39;s"', "it&#39;s"), ('"\\"q\\\\"', '"q\\'), ("", "")],
)  # fmt: skip
def test_values_as_matomo_reads_them(raw: str, value: str) -> None:
    assert ini_edit.read(f"[A]\nk = {raw} ; c\n").get("A", "k") == value


def test_on_and_off_as_php_compares() -> None:
    assert [ini_edit.is_on(v) for v in ("1", "0", "", None, "0.0", "x", "2")] == [
        True, False, False, False, False, True, True]  # fmt: skip
    assert [ini_edit.is_one(v) for v in ("1", "2", "", None, "1.0")] == [
        True, False, False, False, True]  # fmt: skip


def test_what_no_ini_file_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        put(FULL, ("A", "k", "a\0b"))
