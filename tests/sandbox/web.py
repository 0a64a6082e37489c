"""A small browser: what the web installer and the APIs of Matomo are driven with."""

import http.client
import json
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any, Optional
from urllib.parse import urlencode, urljoin, urlsplit

from .errors import SandboxError

_TIMEOUT = 300.0
_REDIRECTS = (301, 302, 303, 307)


class Browser:
    """Talks to one address under one host name, keeps cookies, follows redirects."""

    def __init__(self, address: str, host_name: str) -> None:
        self.address, self.host_name = address, host_name
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> str:
        """GET a page."""
        return self._follow("GET", path, None, "")

    def post(self, path: str, fields: Mapping[str, object]) -> str:
        """POST a form."""
        return self._follow(
            "POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded"
        )

    def post_json(self, path: str, body: object) -> Any:
        """POST JSON, and read JSON back."""
        text = self._follow("POST", path, json.dumps(body).encode(), "application/json")
        return _json(text)

    def api(self, method: str, fields: Mapping[str, object]) -> Any:
        """Call a method of Matomo's HTTP API."""
        query = {"module": "API", "method": method, "format": "json"}
        answer = _json(self.post("/index.php?" + urlencode(query), fields))
        if isinstance(answer, dict) and answer.get("result") == "error":
            raise SandboxError(f"Matomo's API {method}: {answer.get('message')}")
        return answer

    def _follow(self, method: str, path: str, body: Optional[bytes], kind: str) -> str:
        for _ in range(10):
            status, location, text = self._send(method, path, body, kind)
            if status not in _REDIRECTS:
                break
            target = urlsplit(urljoin(f"http://{self.host_name}{path}", location))
            path = target.path + (f"?{target.query}" if target.query else "")
            method, body = "GET", None
        if status >= 400:
            raise SandboxError(f"HTTP {status} from {path.split('&')[0]}: {_plain(text)}")
        return text

    def _send(
        self, method: str, path: str, body: Optional[bytes], kind: str
    ) -> tuple[int, str, str]:
        headers = {"Host": self.host_name, "User-Agent": "matops-sandbox"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        if body is not None:
            headers["Content-Type"] = kind
        connection = http.client.HTTPConnection(self.address, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except OSError as error:
            raise SandboxError(f"no answer from http://{self.address}: {error}") from None
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.update({key: crumb.value for key, crumb in SimpleCookie(line).items()})
        return answer.status, answer.getheader("Location") or "", text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise SandboxError(f"Matomo did not answer with JSON: {_plain(text)}") from None


def _plain(text: str) -> str:
    return " ".join(text.split())[:200]
