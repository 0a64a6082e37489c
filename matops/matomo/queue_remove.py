"""Takes the oldest request set out of one list, into a file: nothing else is touched. There.

The plugin removes what it has processed by *count*, from the list's beginning: to take one out
beside a worker would make it drop another one unprocessed. So it is done under the plugin's own
lock, which no worker gets meanwhile.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from matops.errors import Locked, MatopsError
from matops.matomo import queue_contents
from matops.matomo.database import Database
from matops.matomo.queue_setup import look as look_at_setup
from matops.matomo.queue_setup import need_active
from matops.matomo.queue_store import LOCK, MysqlStore, RedisStore, Waiting, list_name, opened

_TTL = 60  # seconds that our lock lives, should we be killed


def remove_first(docroot: str, number: int, folder: str, expected: str = "") -> dict[str, Any]:
    """``{"file", "what": the set without its secrets}``; ``{"file": ""}`` where none waits.

    The file is written and synced first: killed in between, the set is in both, and is taken out
    by the next run. ``expected``: its digest (``queue.depth``); MatopsError where another one is
    first now. Locked: a worker is at that list.
    """
    setup = look_at_setup(docroot)
    need_active(setup)
    with opened(setup, docroot) as store:
        if isinstance(store, RedisStore):
            return _redis(store, number, folder, expected)
        assert isinstance(store, MysqlStore)
        return _mysql(docroot, store, number, folder, expected)


def _redis(store: RedisStore, number: int, folder: str, expected: str) -> dict[str, Any]:
    owner, key = secrets.token_hex(6), f"{LOCK}{number}"
    if store.redis.ask("SET", key, owner, "NX", "EX", str(_TTL)) is None:
        raise _locked(number)
    try:
        found = store.head(number, 1)
        if not found:
            return {"file": "", "what": ""}
        _refuse_another(found[0], expected)
        raw = store.redis.ask("LINDEX", list_name(number), "0")
        path = _write(folder, number, str(raw).encode(errors="surrogateescape"), found[0].text)
        if store.redis.ask("GET", key) != owner:
            raise _locked(number)
        store.redis.ask("LPOP", list_name(number))
        return {"file": path, "what": queue_contents.describe(found[0])}
    finally:
        if store.redis.ask("GET", key) == owner:
            store.redis.ask("DEL", key)


def _mysql(
    docroot: str, store: MysqlStore, number: int, folder: str, expected: str
) -> dict[str, Any]:
    owner, key = f"matops-{secrets.token_hex(4)}", f"{LOCK}{number}"
    with Database(docroot, timeout=60) as db:
        locks = db.table("queuedtracking_queue")
        db.session.execute("queue_lock_expired", (key,), locks=locks)
        if not db.session.execute("queue_lock_take", (key, owner, _TTL), locks=locks):
            raise _locked(number)
        try:
            table, found = store.table(number), store.head(number, 1)
            if table is None or not found:
                return {"file": "", "what": ""}
            _refuse_another(found[0], expected)
            rows = db.session.rows("queue_first", list=table)
            path = _write(folder, number, rows[0]["value"], found[0].text)
            db.session.execute("queue_remove", (rows[0]["id"],), list=table)
            return {"file": path, "what": queue_contents.describe(found[0])}
        finally:
            db.session.execute("queue_lock_give", (key, owner), locks=locks)


def _refuse_another(first: Waiting, expected: str) -> None:
    if expected and queue_contents.digest(first.text) != expected:
        raise MatopsError(
            f"another request set is the oldest now: {queue_contents.describe(first)}",
            state="Nothing was changed",
            next="a worker got past the one before; queue.drain",
        )


def _locked(number: int) -> Locked:
    return Locked(
        f"list {number} is locked: a worker is at it, or was killed within the last minute",
        state="Nothing was changed",
        next="wait until its lock has run out (queue.status), then run this again",
    )


def _write(folder: str, number: int, raw: Any, text: str) -> str:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    data = raw if isinstance(raw, bytes) else str(raw).encode()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = Path(folder) / f"list{number}-{stamp}-{secrets.token_hex(2)}.json"
    content = {"list": number, "raw_base64": base64.b64encode(data).decode(), "content": text}
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MatopsError(
            f"{path} cannot be written: {error.strerror}", state="The queue was not changed",
            next="make room, or let this account write there",
        ) from None  # fmt: skip
    return str(path)
