"""Matomo's INI format."""

from matops.matomo import ini

TEXT = r"""; <?php exit; ?> DO NOT REMOVE THIS LINE
; file automatically generated
[database]
host = "127.0.0.1"
password = "a&quot;b&amp;c;d"
port = 3307
schema = 'Mariadb'
adapter = "PDO\MYSQL"
odd = "say \"hi\""
empty =
; commented = 1

[General] ; trailing
trusted_hosts[] = "a.example"
trusted_hosts[] = "b.example"
salt = "x" ; why
bare = 1 ; a comment
"""


def test_values_lists_entities_and_comments() -> None:
    parsed = ini.parse(TEXT)
    assert parsed["database"] == {
        "host": "127.0.0.1", "password": 'a"b&c;d', "port": "3307", "schema": "Mariadb",
        "adapter": "PDO\\MYSQL", "odd": 'say "hi"', "empty": "",
    }  # fmt: skip
    assert ini.list_of(parsed, "General", "trusted_hosts") == ["a.example", "b.example"]
    assert ini.text_of(parsed, "General", "trusted_hosts") == "a.example"
    assert ini.text_of(parsed, "General", "bare") == "1"
    assert ini.text_of(parsed, "General", "salt") == "x"
    assert ini.text_of(parsed, "Nope", "x", "d") == "d"


def test_layers() -> None:
    low = ini.parse("[A]\nx = 1\ny[] = 1\ny[] = 2\n")
    high = ini.parse("[A]\nx = 2\ny[] = 3\n[B]\nz = 1\n")
    assert ini.merge(low, high) == {"A": {"x": "2", "y": ["3"]}, "B": {"z": "1"}}
    assert low["A"]["x"] == "1", "a layer is not changed by merging"
