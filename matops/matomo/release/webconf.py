"""Which folders the web server's configuration serves, under which names. Pure parsers.

Only used to find URLs worth asking: what is served is proven by requests, not by reading. So
conditions and contexts are passed over, and every directive counts, wherever it stands.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

APACHE = (
    "/etc/apache2/apache2.conf /etc/apache2/ports.conf /etc/apache2/sites-enabled/* "
    "/etc/apache2/conf-enabled/* /etc/httpd/conf/httpd.conf /etc/httpd/conf.d/*.conf"
).split()
NGINX = "/etc/nginx/nginx.conf /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/*".split()


@dataclass
class WebConf:
    """``mappings``: (URL prefix, folder); ``listens``: (address or '', port, is TLS)."""

    mappings: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    listens: list[tuple[str, int, bool]] = field(default_factory=list)


def read() -> WebConf:
    """This machine's configuration; empty where there is none or it cannot be read."""
    conf = WebConf()
    for patterns, parse in ((APACHE, apache), (NGINX, nginx)):
        for path in [path for pattern in patterns for path in sorted(glob.glob(pattern))]:
            try:
                parse(Path(path).read_text(errors="replace"), conf)
            except OSError:
                continue
    return conf


def apache(text: str, conf: WebConf) -> None:
    """Adds what an Apache configuration file says."""
    for name, rest in _directives(text):
        words = [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', rest)]
        if not words:
            continue
        if name == "documentroot":
            conf.mappings.append(("/", words[0]))
        elif name == "alias" and len(words) > 1:
            conf.mappings.append((words[0], words[1]))
        elif name in ("servername", "serveralias"):
            conf.names += [_host(word) for word in words if "*" not in word]
        elif name == "listen":
            _listen(words[0], "https" in words[1:] or words[0].endswith("443"), conf)


def nginx(text: str, conf: WebConf) -> None:
    """Adds what an nginx configuration file says."""
    text = re.sub(r"#[^\n]*", "", text)
    location = "/"
    for found in re.finditer(r"([^;{}]+)([;{])", text):
        words = found[1].split()
        if found[2] == "{":
            if words[:1] == ["location"] and words[1:]:
                location = words[-1] if words[-1].startswith("/") else "/"
            elif words[:1] == ["server"]:
                location = "/"
        elif words[:1] == ["root"] and len(words) > 1:
            conf.mappings.append(("/", words[1].strip("\"'")))
        elif words[:1] == ["alias"] and len(words) > 1:
            conf.mappings.append((location, words[1].strip("\"'")))
        elif words[:1] == ["server_name"]:
            conf.names += [word for word in words[1:] if re.fullmatch(r"[\w-]+(\.[\w-]+)+", word)]
        elif words[:1] == ["listen"] and len(words) > 1:
            _listen(words[1], "ssl" in words[2:], conf)


def _directives(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        yield name.lower(), rest.strip()


def _listen(text: str, tls: bool, conf: WebConf) -> None:
    found = re.fullmatch(r"(?:(\[[^\]]+\]|[\d.]+|\*):)?(\d+)", text)
    if found:
        address = (found[1] or "").strip("[]")
        address = "" if address in ("*", "0.0.0.0", "::") else address
        if (address, int(found[2]), tls) not in conf.listens:
            conf.listens.append((address, int(found[2]), tls))


def _host(word: str) -> str:
    return re.sub(r"^\w+://", "", word).partition(":")[0]
