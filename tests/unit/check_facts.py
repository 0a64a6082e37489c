"""Facts as a healthy host gives them, with what a test changes laid over them."""

from __future__ import annotations

import copy
from typing import Any

from matops.matomo import ini
from matops.runbook.checks.result import Facts
from matops.settings import Settings

NOW = 1_800_000_000.0
GIB = 2**30

DISK = {"device": 1, "free": 100 * GIB, "total": 200 * GIB, "free_inodes": 10**6,
        "total_inodes": 10**7, "read_only": False, "exists": True}  # fmt: skip

APACHE = [
    [
        "a.conf",
        r'LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined',
    ],
    ["m.conf", "<VirtualHost *:80>"],
    ["m.conf", "ServerName stats.example.org"],
    ["m.conf", "DocumentRoot /var/www/html"],
    ["m.conf", "CustomLog ${APACHE_LOG_DIR}/access.log combined"],
    ["m.conf", "</VirtualHost>"],
]
LOG = "/var/log/apache2/access.log"
LINE = (
    '192.0.2.7 - - [15/Jan/2027:08:00:00 +0000] "OPTIONS /matomo.php?matops_check=N HTTP/1.1" '
    '204 203 "-" "N"'
)

PROBES: dict[str, dict[str, Any]] = {
    "machine": {
        "clock": NOW + 1, "memory": {"MemTotal": 8 * GIB, "MemAvailable": 4 * GIB,
                                     "SwapTotal": 16 * GIB},
        "systemd": True, "kill_user_processes": "", "login": "ops", "selinux": "", "seconds": 0.0,
    },
    "site": {
        "web_user_why": "the owner of config.ini.php",
        "php": {"version": "8.2.7", "program": "/usr/bin/php", "memory_limit": "-1",
                "extensions": "zlib json filter hash session mbstring pdo_mysql redis".split(),
                "disabled": "", "int_size": 8, "ini": "/etc/php.ini", "sapi": "cli"},
        "config_stat": {"owner": "www-data", "mode": "0640"}, "plugins": {}, "host_configs": [],
    },
    "ownership": {"folders": {
        top: {"looked": 300, "wrong": 0, "examples": [], "denied": 0, "all": True}
        for top in ("config", "core", "tmp")
    }},
    "web": {
        "running": {"apache2": ["root", "www-data"]}, "nginx": None, "logs": [LOG], "denied": [],
        "apache": {"lines": APACHE, "server_root": "/etc/apache2",
                   "variables": {"APACHE_LOG_DIR": "/var/log/apache2"}},
        "logrotate": {"main": "/etc/logrotate.conf", "files": {
            "/etc/logrotate.conf": "weekly\nrotate 4\ninclude /etc/logrotate.d\n",
            "/etc/logrotate.d/apache2": "/var/log/apache2/*.log {\n daily\n rotate 14\n}\n"}},
        "files": {LOG: {"stamp": "05/Jan/2027:08:00:00 +0000", "real": LOG, "size": 9}},
    },
    "marker": {
        "sent": {"url": "http://stats.example.org/", "status": 204, "source": "192.0.2.7",
                 "tried": [], "loopback": False},
        "hits": [{"path": LOG, "how": "query", "line": LINE}], "searched": [LOG],
    },
    "background": {"cron": [], "units": [], "supervisor": [], "processes": [], "denied": [],
                   "sees_all_processes": True},
    "backups": {"now": NOW, "full": None, "full_error": "", "essentials": {
        "name": "20270115T070000Z", "time": NOW - 3600, "size": 5 * 2**20}},
    "console": {"ran": True, "works": True, "code": 0, "says": "", "took": 0.2,
                "command": "console customdimensions:info", "user": "www-data"},
}  # fmt: skip

PREFLIGHT: dict[str, Any] = {
    "rights": {"config.ini.php": True, "config": True, "tmp": True},
    "disks": {"docroot": DISK},
    "database": {
        "where": "matomo@127.0.0.1:3306/matomo", "local": True, "version": "10.11.6-MariaDB",
        "flavour": "mariadb", "schema": "matomo", "account": "matomo@localhost",
        "variables": {"datadir": "/var/lib/mysql/", "tmpdir": "/tmp", "hostname": "db9",
                      "innodb_buffer_pool_size": str(5 * GIB), "innodb_file_per_table": "ON",
                      "read_only": "OFF"},
        "clock_offset": 0.0, "version_core": "5.3.1",
        "grants": ["GRANT ALL PRIVILEGES ON `matomo`.* TO `matomo`@`localhost`"],
        "sizes": {"total": 20 * GIB, "largest": {"name": "log_link_visit_action",
                                                 "bytes": 8 * GIB},
                  "families": {}, "not_innodb": [], "queue_rows": 0},
        "invalidations": {"queued": 5, "in_progress": 0, "first_started": None,
                          "last_started": None},
        "machine": {"memory": {"MemTotal": 8 * GIB}, "disks": {"datadir": DISK, "tmpdir": DISK}},
    },
    "queue": {
        "active": True, "has_password": False,
        "settings": {"backend": "redis", "queueEnabled": "1"},
        "redis": {"where": "127.0.0.1:6379", "version": "7.2", "policy": "noeviction", "used": 1000,
                  "maxmemory": 0, "aof": True, "save": "", "last_save_ok": True, "evicted": 0,
                  "role": "master", "waiting": 3},
    },
}  # fmt: skip

CONFIG = ini.parse(
    "[database]\nhost = 127.0.0.1\n[General]\nmaintenance_mode = 0\n"
    'trusted_hosts[] = "stats.example.org"\n[Tracker]\nrecord_statistics = 1\n'
)


def facts(changes: dict[str, Any] | None = None, **fields: Any) -> Facts:
    """``changes``: ``{"database.sizes.total": 5, "web.denied": […]}``, by dotted path."""
    probes, preflight = copy.deepcopy(PROBES), copy.deepcopy(PREFLIGHT)
    for path, value in (changes or {}).items():
        *way, last = path.split(".")
        place: Any = probes if way[:1] and way[0] in probes else preflight
        if not way:
            place = probes if last in probes else preflight
        for step in way:
            place = place[step]
        place[last] = value
    given: dict[str, Any] = {
        "settings": Settings(),
        "docroot": "/var/www/html",
        "web_user": "www-data",
        "version": "5.3.1",
        "config": copy.deepcopy(CONFIG),
        "database_is_local": True,
        "privileged": True,
        "before": NOW,
        "after": NOW + 2,
        "probes": probes,
        "preflight": preflight,
        "target_version": "5.8.0",
        "window": 3 * 86400,
    }
    return Facts(**{**given, **fields})
