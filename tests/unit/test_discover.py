"""Parsers of web servers' and logrotate's configuration, on files as they are in the world."""

from __future__ import annotations

import calendar

import pytest

from matops.accesslog import discover, logformat, rotation

COMBINED = r'LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined'
VHOST = r'LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" vhost'
DIR = {"APACHE_LOG_DIR": "/var/log/apache2"}


def apache(*lines: str) -> list[discover.AccessLog]:
    return discover.apache_logs([["f", line] for line in lines], DIR, "/etc/httpd")


def test_apache_on_debian() -> None:
    main, site, ssl = apache(
        VHOST, COMBINED,
        "CustomLog ${APACHE_LOG_DIR}/other_vhosts_access.log vhost",
        "<VirtualHost *:80>", "ServerName stats.example.org", "ServerAlias s.example.org www",
        "DocumentRoot /var/www/html", "CustomLog ${APACHE_LOG_DIR}/access.log combined",
        "</VirtualHost>",
        "<VirtualHost *:443>", "ServerName other.example.org", "</VirtualHost>",
    )  # fmt: skip
    assert (main.path, main.format.roles[0]) == ("/var/log/apache2/other_vhosts_access.log", "host")
    assert site.path == "/var/log/apache2/access.log"
    assert site.names == ("stats.example.org", "s.example.org", "www")
    assert site.docroot == "/var/www/html"
    # A virtual host with no log of its own writes to the main server's.
    assert (ssl.path, ssl.names) == (main.path, ("other.example.org",))


def test_apache_on_red_hat_and_its_pipes() -> None:
    relative, piped, tabbed, conditional = apache(
        COMBINED,
        'CustomLog "logs/access_log" combined',
        'CustomLog "|/usr/bin/rotatelogs -l /var/log/httpd/access.%Y-%m-%d.log 86400" combined',
        'CustomLog\t"||/usr/sbin/cronolog /logs/%Y/access.log"\t"%h %U"',
        "CustomLog logs/x_log combined env=!dontlog",
    )
    assert relative.path == "/etc/httpd/logs/access_log"
    assert piped.path == "/var/log/httpd/access.*-*-*.log"
    assert piped.program.startswith("|/usr/bin/rotatelogs")
    assert tabbed.path == "/logs/*/access.log"
    assert not tabbed.format.has_query
    assert conditional.condition == "env=!dontlog"


def test_apache_formats() -> None:
    nickname_later, literal, transfer = apache(
        "CustomLog a.log late", r'LogFormat "%a %t \"%m %U%q\"" late',
        r'CustomLog b.log "%{X-Forwarded-For}i %t \"%r\""', "TransferLog c.log",
    )  # fmt: skip
    assert nickname_later.format.roles == ("client", "stamp", "method", "path", "query")
    assert nickname_later.format.has_query
    assert literal.format.roles == ("forwarded", "stamp", "request")
    assert transfer.format.text == logformat.COMMON


def test_a_combined_line_is_read() -> None:
    line = (
        '198.51.100.9 - - [22/Nov/2026:12:45:42 +0000] "GET /matomo.php?idsite=1 HTTP/1.1" 200 43 '
        r'"-" "odd \" agent"'
    )
    fields = apache(COMBINED, "CustomLog a combined")[0].format.read(line)
    assert fields is not None
    assert fields["client"] == "198.51.100.9"
    assert fields["stamp"] == "[22/Nov/2026:12:45:42 +0000]"
    assert fields["request"] == "GET /matomo.php?idsite=1 HTTP/1.1"
    assert fields["agent"] == r"odd \" agent"
    assert apache(VHOST, "CustomLog a vhost")[0].format.read("nonsense") is None


NGINX = r"""
http {
  log_format main '$http_x_forwarded_for - $remote_user [$time_local] '
                  '"$request_method $request_uri" $status '
                  "\"$http_user_agent\" $remote_addr" ;
  log_format json escape=json '{"ip":"$remote_addr","t":"$time_iso8601","u":"$uri"}';
  access_log /var/log/nginx/access.log main buffer=32k flush=5s;
  server {
    server_name stats.example.org www.stats.example.org; root /var/www/matomo;
    location = /matomo.php { access_log /var/log/nginx/tracker.log json if=$wanted; }
  }
  server { server_name b; access_log off; }
  server { server_name c; access_log syslog:server=10.0.0.1 combined; access_log /l/$host.log; }
}
"""


def test_nginx() -> None:
    logs = discover.nginx_logs(NGINX)
    inherited, tracker, off, syslog, named = logs
    assert inherited.path == "/var/log/nginx/access.log"
    assert inherited.buffered
    assert inherited.names == ("stats.example.org", "www.stats.example.org")
    assert inherited.docroot == "/var/www/matomo"
    assert inherited.format.roles[0] == "forwarded"
    assert inherited.format.roles[-1] == "client"
    assert inherited.format.has_query
    assert tracker.path == "/var/log/nginx/tracker.log"
    assert tracker.condition == "if=$wanted"
    assert not tracker.format.has_query
    fields = tracker.format.read('{"ip":"::1","t":"2026-11-22T12:45:42+00:00","u":"/matomo.php"}')
    assert fields == {"client": "::1", "stamp": "2026-11-22T12:45:42+00:00", "path": "/matomo.php"}
    assert off.off
    assert (syslog.path, syslog.program) == ("", "syslog:server=10.0.0.1")
    assert named.path == "/l/*.log"
    assert named.format.text == logformat.NGINX_COMBINED


def test_nginx_without_any_word_about_logs() -> None:
    (log,) = discover.nginx_logs("http { server { listen 80; } }")
    assert log.path == "logs/access.log"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("22/Nov/2026:12:45:42 +0000", (2026, 11, 22, 12, 45, 42)),
        ("22/Nov/2026:14:45:42 +0200", (2026, 11, 22, 12, 45, 42)),
        ("2026-11-22T12:45:42Z", (2026, 11, 22, 12, 45, 42)),
        ("2026-11-22T13:45:42.123+01:00", (2026, 11, 22, 12, 45, 42)),
        ("2026-11-22 13:45:42+0100", (2026, 11, 22, 12, 45, 42)),
    ],
)
def test_stamps(text: str, wanted: tuple[int, ...]) -> None:
    assert discover.stamp_epoch(text) == calendar.timegm((*wanted, 0, 0, 0))


@pytest.mark.parametrize("text", ["", "22/Foo/2026:12:45:42 +0000", "2026-11-22 12:45:42"])
def test_no_stamp_without_a_zone(text: str) -> None:
    assert discover.stamp_epoch(text) is None


@pytest.mark.parametrize(
    "name",
    ["access.log", "access.log.1", "access.log.12.gz", "access.log-20261122", "access-20261122.log",
     "access.2026-11-22.log", "access.log-20261122.xz", "access.log-20261122-1795351543.gz"],
)  # fmt: skip
def test_rotated_logs_belong_together(name: str) -> None:
    assert discover.family(f"/var/log/apache2/{name}") == "/var/log/apache2/access.log"


def test_other_logs_do_not() -> None:
    assert discover.family("/l/other_vhosts_access.log") != discover.family("/l/access.log")
    assert discover.family("/l/access_ssl.log") != discover.family("/l/access.log")


FILES = {
    "/etc/logrotate.conf": """
# see "man logrotate"
weekly
rotate 4
dateext
include /etc/logrotate.d
/var/log/late.log { }
""",
    "/etc/logrotate.d/apache2": """
/var/log/apache2/*.log {
    daily
    rotate 14   # two weeks
    compress
    sharedscripts
    prerotate
        if [ -d /etc/x ]; then rotate 1; fi
    endscript
    postrotate
        daily }
    endscript
}
""",
    "/etc/logrotate.d/nginx": """
"/var/log/nginx/access.log" /var/log/nginx/{a,b}-*.log
/srv/logs/x.log
{
    monthly
    rotate 12
    maxage 90
}
/srv/big.log { size 500M
 rotate 5 }
/srv/capped.log { daily
 maxsize 1G
 rotate 7
 olddir /srv/old
}
/srv/plain.log {
}
/srv/ever.log { hourly
 rotate -1
}
""",
}


@pytest.mark.parametrize(
    ("path", "days", "shown"),
    [
        ("/var/log/apache2/access.log", 14, "daily, rotate 14"),
        ("/var/log/nginx/access.log", 90, "monthly, rotate 12, maxage 90"),
        ("/var/log/nginx/b-site.log", 90, "monthly, rotate 12, maxage 90"),
        ("/srv/logs/x.log", 90, "monthly, rotate 12, maxage 90"),
        ("/srv/big.log", None, "size 500M, rotate 5"),
        ("/srv/capped.log", None, "daily, maxsize 1G, rotate 7"),
        ("/srv/plain.log", 28, "weekly, rotate 4"),
        ("/srv/ever.log", 3650, "hourly, rotate -1"),
        ("/var/log/late.log", 28, "weekly, rotate 4"),
    ],
)
def test_retention(path: str, days: int | None, shown: str) -> None:
    found = rotation.find(rotation.parse(FILES, "/etc/logrotate.conf"), path)
    assert found is not None
    assert found.kept == (None if days is None else days * rotation.DAY)
    assert found.shown == shown


def test_what_no_rule_covers() -> None:
    rules = rotation.parse(FILES, "/etc/logrotate.conf")
    assert rotation.find(rules, "/var/log/apache2/deep/access.log") is None
    assert rotation.find(rules, "/elsewhere", "/var/log/apache2/access.log") is not None
    assert rotation.parse({}, "/etc/logrotate.conf") == []
    assert rotation.parse({"x": "/a.log {\n daily"}, "x")[0].interval == rotation.DAY


def test_the_default_is_by_size() -> None:
    (rule,) = rotation.parse({"m": "/a.log {\n}\n"}, "m")
    assert rule.kept is None
    assert rule.shown == "by size, rotate 0"
