"""The settings of ``config/matops.yaml``: optional, documented in ``matops.example.yaml``.

Read into one frozen dataclass. A wrong key, type or unit is one line, with a suggestion:
fabric and invoke themselves let unknown keys pass silently.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matops.errors import UsageError
from matops.units import parse_duration, parse_size

ROOT = Path(__file__).parent.parent


def _text(value: object, key: str) -> str:
    if isinstance(value, float):  # YAML has made 5.1 of 5.10 by now
        raise UsageError(f"setting {key}: was read as the number {value}; write it in quotes")
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"setting {key}: wants a text, not {_kind(value)}")


def _texts(value: object, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise UsageError(f"setting {key}: wants a list of texts, not {_kind(value)}")


def _flag(value: object, key: str) -> bool:
    if isinstance(value, bool):
        return value
    raise UsageError(f"setting {key}: wants true or false, not {_kind(value)}")


def _factor(value: object, key: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UsageError(f"setting {key}: wants a number, not {_kind(value)}")
    if not 0 <= value <= 1e9:  # nan is not either
        raise UsageError(f"setting {key}: wants a number from 0 up, not {value}")
    return float(value)


def _duration(value: object, key: str) -> int:
    return parse_duration(str(value), f"setting {key}")


def _patience(value: object, key: str) -> int:
    seconds = _duration(value, key)
    if seconds < 1:
        raise UsageError(f"setting {key}: wants 1s or more, not '{value}'")
    return seconds


def _size(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise UsageError(f"setting {key}: wants a size like 500MB, not {_kind(value)}")
    return parse_size(str(value), f"setting {key}")


def _kind(value: object) -> str:
    names = {bool: "true/false", dict: "a section", list: "a list", type(None): "nothing"}
    return names.get(type(value), f"'{value}'")


def _setting(parse: Callable[[object, str], Any], default: Any) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse})


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an operator can set, for every host or for one. '' = found by looking at the host."""

    # The installation
    docroot: str = _setting(_text, "")
    web_user: str = _setting(_text, "")
    php: str = _setting(_text, "")
    url: str = _setting(_text, "")
    servers: tuple[str, ...] = _setting(_texts, ())
    archivers: tuple[str, ...] = _setting(_texts, ())
    db_host: str = _setting(_text, "")
    access_logs: tuple[str, ...] = _setting(_texts, ())
    tracker_paths: tuple[str, ...] = _setting(_texts, ())
    health_checks: tuple[str, ...] = _setting(_texts, ())
    # Where matops keeps its things
    state_dir: str = _setting(_text, "/var/lib/matops")
    backup_dir: str = _setting(_text, "~/.local/share/matops/backups")
    stage_dir: str = _setting(_text, "")
    sudo: bool = _setting(_flag, True)
    # The release
    release: str = _setting(_text, "latest")
    release_url: str = _setting(_text, "https://builds.matomo.org/matomo-{version}.zip")
    latest_url: str = _setting(_text, "https://api.matomo.org/1.0/getLatestVersion/")
    keyring: str = _setting(_text, "config/keys/matomo.gpg")
    release_max_size: int = _setting(_size, 2 * 2**30)
    # Backups of the database
    db_backup_dir: str = _setting(_text, "")
    backup_command: str = _setting(_text, "")
    backup_check: str = _setting(_text, "")
    backup_files: str = _setting(_text, "")
    backup_age: int = _setting(_patience, 86400)
    backup_full_age: int = _setting(_patience, 7 * 86400)
    # The gap's hits
    gap_keep: int = _setting(_patience, 14 * 86400)
    # The preflight checks
    window: int = _setting(_duration, 3 * 86400)
    disk_factor: float = _setting(_factor, 2.0)
    swap_factor: float = _setting(_factor, 2.0)
    clock_tolerance: int = _setting(_duration, 5)
    # The notices to customers
    notices_dir: str = _setting(_text, "config/notices")
    notice_languages: tuple[str, ...] = _setting(_texts, ("en",))
    notice_zone: str = _setting(_text, "UTC")
    notice_service: str = _setting(_text, "Matomo")
    notice_contact: str = _setting(_text, "")
    notice_from: str = _setting(_text, "")
    notice_to: tuple[str, ...] = _setting(_texts, ())
    notice_sendmail: str = _setting(_text, "/usr/sbin/sendmail")
    notice_webhook: str = _setting(_text, "")
    notice_webhook_secret: str = _setting(_text, "")
    notice_webhook_header: str = _setting(_text, "Authorization: Bearer")
    # Alerts to the operators during an outage
    alert_to: tuple[str, ...] = _setting(_texts, ())
    alert_command: str = _setting(_text, "")
    # Patience
    connect_timeout: int = _setting(_patience, 15)
    command_timeout: int = _setting(_patience, 120)
    lock_stale_after: int = _setting(_patience, 600)


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def parse(data: object, host: str = "", where: str = "matops.yaml") -> Settings:
    """Settings from the parsed file, ``hosts.<host>`` laid over the rest. UsageError."""
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: wants 'key: value' lines, not {_kind(data)}")
    sections = data.get("hosts") or {}
    if not isinstance(sections, Mapping):
        raise UsageError(f"{where}: hosts wants a section per host, not {_kind(sections)}")
    values = _values({k: v for k, v in data.items() if k != "hosts"}, "", where)
    for name, section in sections.items():  # every section is checked, not only this host's
        if not isinstance(section, Mapping):
            raise UsageError(f"{where}: hosts.{name} wants settings, not {_kind(section)}")
        theirs = _values(section, f"hosts.{name}.", where)
        if str(name) == host:
            values.update(theirs)
    return Settings(**values)


def _values(section: Mapping[Any, Any], prefix: str, where: str) -> dict[str, Any]:
    values = {}
    for key, value in section.items():
        if key not in FIELDS:
            close = difflib.get_close_matches(str(key), [*FIELDS, "hosts"], 1)
            hint = f"; did you mean '{close[0]}'?" if close else "; see matops.example.yaml"
            raise UsageError(f"{where}: unknown setting '{prefix}{key}'{hint}")
        values[key] = FIELDS[key].metadata["parse"](value, f"{prefix}{key}")
    return values


def portable(settings: Settings) -> dict[str, Any]:
    """The same as a matops.yaml would hold it: durations with their unit. For a job's file."""
    values = dataclasses.asdict(settings)
    for key, field in FIELDS.items():
        if field.metadata["parse"] in (_duration, _patience):
            values[key] = f"{values[key]}s"
        elif isinstance(values[key], tuple):
            values[key] = list(values[key])
    return values


def config_path() -> Path | None:
    """The file in force: ``$MATOPS_CONFIG``, else the checkout's ``config/matops.yaml``."""
    given = os.environ.get("MATOPS_CONFIG")
    if given:
        if not Path(given).is_file():
            raise UsageError(f"MATOPS_CONFIG names {given}, which is not a file")
        return Path(given)
    usual = ROOT / "config" / "matops.yaml"
    return usual if usual.is_file() else None


@functools.lru_cache(maxsize=1)
def _read() -> tuple[object, str]:
    path = config_path()
    if path is None:
        return None, ""
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")), path.name
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def load(host: str = "") -> Settings:
    """The settings for ``host`` (as typed behind ``-H``; '' = this machine). UsageError."""
    data, where = _read()
    return parse(data, host, where or "matops.yaml")
